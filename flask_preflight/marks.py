"""What views and blueprints say of CORS: `cors_route`, `cors_blueprint` and `cors_exempt` mark them, and wrap nothing.

A mark is an attribute, so it goes wherever :func:`functools.wraps` takes a function's attributes, and the order of
decorators does not matter. :mod:`~flask_preflight.routes` reads the marks once the app is complete.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from flask import Blueprint, Flask
from flask.views import MethodView

from flask_preflight.policy import keep

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from flask_preflight.policy import PolicyChanges

AnyBlueprint = TypeVar("AnyBlueprint", bound=Blueprint)
Marked = TypeVar("Marked")

_ATTRIBUTE: Final = "_preflight_marks"


class Mark:
    """Changes to the inherited policy, or, where *changes* is ``None``, that CORS is left to the view itself."""

    def __init__(self, changes: PolicyChanges | None) -> None:
        self.changes = changes


@overload
def cors_route(view: Marked, /) -> Marked: ...
@overload
def cors_route(**changes: Unpack[PolicyChanges]) -> Callable[[Marked], Marked]: ...
def cors_route(view: Any = None, /, **changes: Unpack[PolicyChanges]) -> Any:
    """Mark a view: its policy is the inherited one with *changes*, and its URLs handle OPTIONS.

    For functions (async too), ``View`` and ``MethodView`` classes, their methods, and what ``as_view()`` returns;
    above or below ``@app.route`` and other decorators. In a list, ``...`` stands for the inherited values::

        @app.put("/api/data")
        @cors_route(allow_headers=[..., "Authorization"])
        def put_data(): ...

    :param changes: fields of `Policy`. Their values are checked, merged, at the first request and by
        ``Preflight.verify``.
    :raises TypeError: for an unknown field, or a view that is marked with `cors_exempt` too.
    """
    mark = Mark(keep(changes))
    return _add(view, mark) if view is not None else lambda view: _add(view, mark)


def cors_blueprint(blueprint: AnyBlueprint, **changes: Unpack[PolicyChanges]) -> AnyBlueprint:
    """Mark a blueprint, and return it: its views, and those of blueprints within, inherit *changes*.

    :raises TypeError: for an unknown field, or a blueprint that is marked with `cors_exempt` too.
    """
    return _add(blueprint, Mark(keep(changes)))


def cors_exempt(view_or_blueprint: Marked) -> Marked:
    """Mark a view or blueprint, and return it: whatever it answers, also to preflights, goes out as it is.

    :raises TypeError: if it is marked with `cors_route` or `cors_blueprint` too.
    """
    return _add(view_or_blueprint, Mark(None))


def _add(marked: Marked, mark: Mark) -> Marked:
    target = getattr(marked, "__func__", marked)  # a bound method keeps no attributes of its own
    can_be_marked = isinstance(target, Blueprint) or (callable(target) and not isinstance(target, Flask))
    marks = (*_own(target), mark)
    if len({mark.changes is None for mark in marks}) > 1:
        raise TypeError(f"{marked!r} is marked with cors_exempt and for CORS as well: drop one of the two")
    with suppress(AttributeError, TypeError):  # what has no attributes, such as built-in functions
        if can_be_marked:
            setattr(target, _ATTRIBUTE, marks)
            return marked
    raise TypeError(f"{marked!r} cannot be marked: it is no view function, view class, or blueprint")


def _own(target: object) -> tuple[Mark, ...]:
    """The marks of *target* itself, without those of base classes."""
    marks: tuple[Mark, ...] = getattr(target, "__dict__", {}).get(_ATTRIBUTE, ())
    return marks


def marks_of_blueprint(blueprint: object) -> tuple[Mark, ...]:
    """The marks of a blueprint, without those of the blueprints that it stands in."""
    return _own(blueprint)


def marks_of_view(view: object, method: str) -> tuple[Mark, ...]:
    """The marks of a view for *method*, from the outermost to the innermost."""
    view_class = _class_of(view)
    marked: list[object] = [*reversed(list(_unwrapped(view)))]
    if view_class is not None:
        marked = [*reversed(view_class.__mro__), *marked, *reversed(list(_unwrapped(_method_of(view_class, method))))]
    return tuple(dict.fromkeys(mark for each in marked for mark in _own(each)))  # `wraps` has copied some of them


def _unwrapped(view: object) -> Iterator[object]:
    """*view*, and what it wraps."""
    while view is not None:
        yield view
        view = view.func if isinstance(view, partial) else getattr(view, "__dict__", {}).get("__wrapped__")


def _innermost(view: object) -> object:
    *_, innermost = (None, *_unwrapped(view))
    return innermost


def _class_of(view: object) -> type | None:
    """The class behind what ``as_view()`` has returned, whatever wraps it."""
    for function in _unwrapped(view):
        view_class = getattr(function, "__dict__", {}).get("view_class")
        if isinstance(view_class, type):
            return view_class
    return None


def _method_of(view_class: type, method: str) -> object:
    """The function behind *method*: a ``MethodView``'s own, which is ``get`` for HEAD too, or ``dispatch_request``."""
    names = (method.lower(), "get" if method == "HEAD" else "", "dispatch_request")
    found = next((function for name in names if (function := getattr(view_class, name, None)) is not None), None)
    return None if found is MethodView.dispatch_request else found  # which says nothing of the class


def place_of_view(view: object, method: str) -> str:
    """``file:line`` of the view, of its function for *method*, or of its class: the first that Python can find."""
    view_class = _class_of(view)
    function = _innermost(view)
    for candidate in (view_class and _innermost(_method_of(view_class, method)), view_class, function, type(function)):
        with suppress(OSError, TypeError):  # made at run time, so in no file; or an object, so of a class
            return f"{inspect.getsourcefile(candidate)}:{inspect.getsourcelines(candidate)[1]}"  # type: ignore[arg-type]
    return "an unknown place"
