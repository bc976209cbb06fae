"""Marks on views and blueprints: `cors_route`, `cors_blueprint` and `cors_exempt` set an attribute, and wrap nothing.

A mark is an attribute, so :func:`functools.wraps` copies it together with a function's other attributes, and the order
of decorators does not matter. A mark is only on the object that was passed. :mod:`~flask_preflight.routes` reads the
marks for each request.
"""

from __future__ import annotations

import gc
import inspect
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial, update_wrapper, wraps
from types import FrameType, FunctionType, MappingProxyType, MethodType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, overload

from flask import Blueprint, Flask, request_started
from flask.views import MethodView, View

from flask_preflight.calls import check_field_names, outer_frame, takes_fields, write_fields
from flask_preflight.journal import logger
from flask_preflight.policy import check_changes, freeze_changes
from flask_preflight.problems import PolicyError, show

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from flask_preflight.policy import PolicyChanges

AnyBlueprint = TypeVar("AnyBlueprint", bound=Blueprint)
Function = TypeVar("Function", bound=Callable[..., Any])
Marked = TypeVar("Marked")

# The key of the extension, which reads the marks, in ``app.extensions``
NAME: Final = "preflight"

_ATTRIBUTE: Final = "_preflight_marks"

# The attributes of an object that can have none
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

# How many functions a view may be wrapped in
_MOST_WRAPPERS: Final = 100


class Mark:
    """Changes to the inherited policy. ``None`` means that CORS is left to the view itself.

    *module* is the module in which the decorator is written, *written_at* is its file and line. *is_reached* is whether
    a rule of some app has led to the mark.
    """

    def __init__(self, changes: PolicyChanges | None, decorator: str) -> None:
        frame = outer_frame()
        self.changes = changes
        self.module: str = frame.f_globals.get("__name__", "")
        self.is_reached = False
        self._decorator = decorator
        self.written_at = _place_of(frame)
        self._target: Callable[[], object] = lambda: None
        _all_marks[id(self)] = self

    def attach(self, target: object) -> None:
        """Note what is marked."""
        with suppress(TypeError):  # it cannot be weakly referenced
            self._target = weakref.ref(target)

    def describe(self) -> str:
        """Which decorator it is, and on what."""
        target = self._target()
        view_class = getattr(target, "view_class", None)  # of what `as_view` has returned
        name = getattr(view_class or target, "__qualname__", None) or getattr(target, "name", "")
        return f"{self._decorator} on {name}" if name else self._decorator

    @property
    def place(self) -> str:
        """``file:line`` of the marked function or class, else of the decorator."""
        target = self._target()
        return place_of_view(target, "GET") if isinstance(target, FunctionType | type) else self.written_at


# They are freed with the marked objects.
_all_marks: Final[weakref.WeakValueDictionary[int, Mark]] = weakref.WeakValueDictionary()


def unreached_marks(modules: set[str]) -> list[Mark]:
    """The marks made in *modules* that no rule of any app has led to."""
    gc.collect()  # a view that was freed has no rule
    return [mark for mark in list(_all_marks.values()) if not mark.is_reached and mark.module in modules]


def _advises(advise: Callable[..., str | None]) -> Callable[[Function], Function]:
    """Decorate a function so that the arguments of another one are a ``TypeError`` with what *advise* says of them."""

    def decorate(function: Function) -> Function:
        @wraps(function)
        def checked(*args: Any, **given: Any) -> Any:
            advice = advise(*args, **given)
            if advice is not None:
                raise TypeError(advice)
            return function(*args, **given)

        return cast(Function, checked)

    return decorate


def _advise_no_route(view: object = None, *_: object, **given: object) -> str | None:
    """For ``@cors_route("/data", methods=["PUT"])``, in place of ``@app.route``."""
    if not (isinstance(view, str) and view.startswith("/")):
        return None
    methods = given.pop("methods", None)
    check_field_names(given)
    route = f"@app.route({show(view)}{f', methods={show(methods)}' if methods else ''})"
    return f"cors_route makes no route: write {route} above @cors_route({write_fields(None, given)})"


def _advise_no_blueprint(blueprint: object = None, *_: object, **given: object) -> str | None:
    """For ``cors_blueprint("api", __name__, url_prefix="/api")``, in place of ``Blueprint``."""
    if not isinstance(blueprint, str):
        return None
    options = {name: value for name, value in given.items() if name in _BLUEPRINT_OPTIONS}
    check_field_names(given.keys() - options.keys())
    made = ", ".join([show(blueprint), "__name__", *(f"{name}={show(value)}" for name, value in options.items())])
    fields = write_fields(None, {name: value for name, value in given.items() if name not in options})
    return f"cors_blueprint makes no blueprint: write cors_blueprint(Blueprint({made}), {fields})"


_BLUEPRINT_OPTIONS: Final = frozenset(inspect.signature(Blueprint).parameters)


@overload
def cors_route(view: Marked, /) -> Marked: ...
@overload
def cors_route(**changes: Unpack[PolicyChanges]) -> Callable[[Marked], Marked]: ...
@_advises(_advise_no_route)
@takes_fields("cors_route({})")
def cors_route(view: Any = None, /, **changes: Unpack[PolicyChanges]) -> Any:
    """Mark a view: its policy is the inherited one with *changes*, and its URLs handle OPTIONS.

    For functions (async too), ``View`` and ``MethodView`` classes and their subclasses, their methods, and what
    ``as_view()`` returns; above or below ``@app.route`` and other decorators that use :func:`functools.wraps`. In a
    list, ``...`` stands for the inherited values::

        @app.put("/api/data")
        @cors_route(allow_headers=[..., "Authorization"])
        def put_data(): ...

    Use the object that is returned: of a bound method, which may be shared with others, a marked copy is returned.

    :param changes: fields of `Policy`. Each value is checked at once, and the merged policy at the first request and by
        ``Preflight.verify``.
    :raises PolicyError: for a value that is wrong by itself.
    :raises TypeError: for an unknown field, for an object that is not a view, and for a view that is marked with
        `cors_exempt` too.

    .. versionchanged:: 0.2.0
        Values are checked when the decorator is called. A bound method is not marked itself, but the returned copy.
    """
    mark = Mark(_check(changes, "cors_route"), "cors_route")
    return _mark_view(view, mark) if view is not None else lambda view: _mark_view(view, mark)


@_advises(_advise_no_blueprint)
@takes_fields("cors_blueprint(blueprint, {})")
def cors_blueprint(blueprint: AnyBlueprint, **changes: Unpack[PolicyChanges]) -> AnyBlueprint:
    """Mark a blueprint, and return it: its views, and those of nested blueprints, inherit *changes*.

    :raises PolicyError: for a value that is wrong by itself.
    :raises TypeError: for an unknown field, for an object that is not a blueprint, and for a blueprint that is marked
        with `cors_exempt` too.
    """
    if not isinstance(blueprint, Blueprint):
        raise TypeError(f"{show(blueprint)} is not a blueprint; {_advise_blueprint(blueprint, changes)}")
    return _add(blueprint, Mark(_check(changes, "cors_blueprint"), "cors_blueprint"))


def _advise_blueprint(given: object, changes: Mapping[str, object]) -> str:
    if callable(given) and not isinstance(given, Flask):
        return f"mark a view with cors_route: write cors_route({write_fields(None, changes)})(view)"
    return f"write cors_blueprint(blueprint, {write_fields(given, changes)})"


@takes_fields("@cors_exempt, without ()")
def cors_exempt(view_or_blueprint: Marked) -> Marked:
    """Mark a view or blueprint, and return it: all its responses, also to preflights, are left as they are.

    :raises TypeError: if it is marked with `cors_route` or `cors_blueprint` too.
    """
    mark = Mark(None, "cors_exempt")
    if isinstance(view_or_blueprint, Blueprint):
        return _add(view_or_blueprint, mark)
    exempt: Marked = _mark_view(view_or_blueprint, mark)
    return exempt


def _check(changes: PolicyChanges, decorator: str) -> PolicyChanges:
    frozen = freeze_changes(changes)
    try:
        check_changes(frozen)
    except PolicyError as error:
        where = f"{decorator} at {_place_of(outer_frame())}"
        raise PolicyError(problem._replace(where=where) for problem in error.problems) from None
    return frozen


def _place_of(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _mark_view(view: Any, mark: Mark) -> Any:
    if isinstance(view, Blueprint):
        raise TypeError(f"{view!r} is a blueprint; write {_write(mark, 'cors_blueprint(blueprint, {})')}")
    if isinstance(view, Flask):
        raise TypeError(f"{view!r} is an app; write {_write(mark, 'Preflight(app, {})')}")
    if isinstance(view, type) and not issubclass(view, View):
        advice = "mark its methods, or make it a subclass"
        raise TypeError(f"{view!r} is not a subclass of flask.views.View, so Flask does not use it as a view; {advice}")
    if not (callable(view) or isinstance(view, staticmethod | classmethod)):
        advice = _write(mark, "cors_route({})", view)
        raise TypeError(
            f"{show(view)} is not a view function, view class, or blueprint; write {advice}, above the view"
        )
    return _add(_own_copy(view), mark)


def _write(mark: Mark, call: str, value: object = None) -> str:
    """*call* with the changes of *mark* in it, and with what *value* says."""
    return "cors_exempt(view)" if mark.changes is None else call.format(write_fields(value, mark.changes))


def _own_copy(view: Any) -> Any:
    """*view*, or a copy of it if its attributes are shared with others, as those of a bound method are."""
    if isinstance(view, MethodType):
        function = view.__func__
        if isinstance(function, FunctionType):
            return MethodType(_copy_function(function), view.__self__)
        return update_wrapper(partial(view), view)
    if isinstance(view, staticmethod | classmethod) and isinstance(view.__func__, FunctionType):
        return type(view)(_copy_function(view.__func__))
    return view


def _copy_function(function: FunctionType) -> FunctionType:
    copy: Any = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    update_wrapper(copy, function)
    del copy.__wrapped__  # it is a copy, and no wrapper
    vars(copy).update(vars(function))
    return cast(FunctionType, copy)


def _add(marked: Marked, mark: Mark) -> Marked:
    target: Any = marked
    if isinstance(marked, MethodType | staticmethod | classmethod):
        target = marked.__func__  # of a copy, so not shared
    marks = (*_own(target), mark)
    if len({mark.changes is None for mark in marks}) > 1:
        raise TypeError(f"{show(marked)} is marked with cors_exempt and for CORS as well: remove one of the two")
    try:
        setattr(target, _ATTRIBUTE, marks)
    except (AttributeError, TypeError):  # it has no attributes, as built-in functions
        advice = "wrap it in a function"
        raise TypeError(f"{show(marked)} cannot be marked, because it takes no attributes; {advice}") from None
    mark.attach(target)
    return marked


def _own(target: object) -> tuple[Mark, ...]:
    """The marks of *target* itself, without those of base classes."""
    marks: tuple[Mark, ...] = getattr(target, "__dict__", _NOTHING).get(_ATTRIBUTE, ())
    return marks


class ViewMarks:
    """The marks of a view, as they are now, inside those of its *blueprints*, which go from the outermost inwards."""

    __slots__ = ("_class", "_outer")

    def __init__(self, view: object, blueprints: Iterable[object] = ()) -> None:
        self._class: type | None = None
        self._outer: tuple[Mark, ...] = ()
        for blueprint in blueprints:
            self._outer += _own(blueprint)
        if type(view) is FunctionType and _WRAPPERS.isdisjoint(view.__dict__):  # most views
            self._outer += view.__dict__.get(_ATTRIBUTE, ())
            return
        functions = _unwrapped(view)
        self._class = _class_of(functions)
        for each in (*(self._class.__mro__[::-1] if self._class else ()), *functions[::-1]):
            self._outer += _own(each)

    @property
    def depends_on_method(self) -> bool:
        """Whether they can be different for different methods."""
        return self._class is not None

    def of(self, method: str) -> tuple[Mark, ...]:
        """The marks for *method*, from the outermost to the innermost."""
        marks = self._outer
        if self._class is not None:
            for handler in _handlers_of(self._class, method):
                for part in reversed(_unwrapped(handler)):
                    marks += _own(part)
        return tuple(dict.fromkeys(marks)) if len(marks) > 1 else marks  # `wraps` copies marks


def warn_of_no_extension(app: Flask, **_: object) -> None:
    """Log at the first request of the process that *app* has marks, and no `Preflight` that reads them."""
    request_started.disconnect(warn_of_no_extension)
    with suppress(Exception):  # views that cannot be read must not change an answer
        mark = None if NAME in app.extensions else _find_change(app)
        if mark is not None:
            why = f"because {app!r} has no Preflight: write Preflight(app, allow_origins=[...])"
            logger.warning("%s", f"{mark.place}: {mark.describe()} has no effect, {why}.")


request_started.connect(warn_of_no_extension)


def _find_change(app: Flask) -> Mark | None:
    """A mark in *app* that changes the policy, if there is one."""
    for rule in app.url_map.iter_rules():
        marks = ViewMarks(app.view_functions.get(rule.endpoint), app.blueprints.values())
        for method in rule.methods or ("GET",):
            for mark in marks.of(method):
                if mark.changes is not None:
                    return mark
    return None


def _unwrapped(view: object) -> list[object]:
    """*view*, what it wraps, and so on. A cycle ends the chain."""
    if type(view) is FunctionType and "__wrapped__" not in view.__dict__:  # most of them
        return [view]
    functions: list[object] = []
    while view is not None and len(functions) < _MOST_WRAPPERS and not any(view is known for known in functions):
        functions.append(view)
        view = view.func if isinstance(view, partial) else getattr(view, "__dict__", _NOTHING).get("__wrapped__")
    if functions and not isinstance(functions[-1], _WITH_ATTRIBUTES):  # an object of a class with `__call__`
        functions.append(getattr(type(functions[-1]), "__call__", None))  # noqa: B004 - the method itself is needed
    return functions


# The attributes by which functions refer to others
_WRAPPERS: Final = frozenset({"__wrapped__", "view_class"})

_WITH_ATTRIBUTES: Final = (FunctionType, MethodType, type, partial)


def _class_of(functions: list[object]) -> type | None:
    """The class behind what ``as_view()`` has returned, however that is wrapped."""
    for function in functions:
        view_class = getattr(function, "__dict__", _NOTHING).get("view_class")
        if isinstance(view_class, type):
            return view_class
    return None


def _handlers_of(view_class: type, method: str) -> list[object]:
    """The functions that handle *method*: ``dispatch_request``, and in a ``MethodView`` what it calls."""
    handlers: list[object] = []
    dispatch = getattr(view_class, "dispatch_request", None)
    if dispatch is not None and dispatch is not MethodView.dispatch_request:
        handlers.append(dispatch)
    if issubclass(view_class, MethodView):
        found = getattr(view_class, method.lower(), None)
        if found is None and method == "HEAD":
            found = getattr(view_class, "get", None)
        if found is not None:
            handlers.append(found)
    return handlers


def place_of_view(view: object, method: str) -> str:
    """``file:line`` of the view's function for *method*, of its class, or of the view, as far as Python can find it."""
    functions = _unwrapped(view) or [None]
    view_class, function = _class_of(functions), functions[-1]
    handlers = _handlers_of(view_class, method)[::-1] if view_class else []
    for candidate in (*[_unwrapped(handler)[-1] for handler in handlers], view_class, function, type(function)):
        with suppress(OSError, TypeError, ValueError):  # made at run time, an object of a class, or a cycle
            return f"{inspect.getsourcefile(candidate)}:{inspect.getsourcelines(candidate)[1]}"  # type: ignore[arg-type]
    return "an unknown place"
