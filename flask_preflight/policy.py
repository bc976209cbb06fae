"""What is allowed: :class:`Policy`, immutable, and checked when it is built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import cached_property, partial
from types import CoroutineType, EllipsisType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict, TypeGuard, cast, final

from flask_preflight import fetch
from flask_preflight.origin import Origins, parse_origin
from flask_preflight.problems import Flaw, PolicyError, Problem, flaw

if TYPE_CHECKING:
    from dataclasses import Field
    from typing import ClassVar, NoReturn

    from typing_extensions import Unpack

OriginCallable: TypeAlias = Callable[[str, dict[str, Any]], bool]
AllowOrigins: TypeAlias = Literal["*"] | Iterable[str | EllipsisType] | OriginCallable
Names: TypeAlias = Literal["*"] | Iterable[str | EllipsisType]

# Longer than any method in use (https://www.iana.org/assignments/http-methods); engine.py refuses longer ones unseen.
MAX_METHOD_LENGTH: Final = 64

# Browsers cap what they remember: a day in Firefox, less elsewhere. More is a wrong unit or a wrong belief.
_MAX_MAX_AGE: Final = 86400


class PolicyChanges(TypedDict, total=False):
    """The fields of `Policy` as keyword arguments, for whatever passes some of them on."""

    allow_origins: AllowOrigins
    allow_methods: Names | None
    allow_headers: Names
    expose_headers: Names
    allow_credentials: bool
    max_age: int | timedelta | None
    preflight_status: int
    dangerously_allow_insecure_origins: bool
    dangerously_allow_public_suffix_subdomains: bool
    dangerously_allow_null_origin: bool


class _DataclassFields:
    """Lets :mod:`dataclasses` take `Policy` for one of its own; only, to import that module takes much of an import."""

    def __get__(self, policy: Policy | None, owner: type[Policy]) -> dict[str, Field[Any]]:
        from dataclasses import make_dataclass

        defaults = owner.__init__.__kwdefaults__ or {}
        listed = [(name, owner.__annotations__[name], defaults[name]) for name in FIELDS]
        like: Any = make_dataclass("Policy", listed)
        found: dict[str, Field[Any]] = like.__dataclass_fields__
        return found


@final
class Policy:
    """Who may read what a server answers, and which requests a preflight may announce.

    Built once and never changed; equal policies are equal objects and hash alike. Lists are kept sorted and without
    repetition, so the order and kind of what was passed do not matter. Nothing is allowed by default.

    :param allow_origins: ``"*"``; an iterable of origins (``"https://example.com"``) and patterns
        (``"https://*.example.com"``, ``"http://localhost:*"``); or a callable
        ``allowed(origin: str, environ: dict) -> bool`` for whatever changes while the server runs.
    :param allow_methods: methods, ``"*"``, or ``None``: under Flask those of the route, around any other app GET, HEAD,
        and POST. ``GET`` covers ``HEAD``.
    :param allow_headers: request headers beyond those that browsers send unasked, or ``"*"``, which does not cover
        ``Authorization``: write ``["*", "Authorization"]`` for that.
    :param expose_headers: response headers that scripts may read, or ``"*"``.
    :param allow_credentials: cookies, TLS client certificates, and the browser's HTTP authentication.
    :param max_age: how long browsers may remember a granted preflight: whole seconds from 0 (not at all) to 86400, or
        a ``timedelta``; ``None`` says nothing, and browsers then take 5 seconds.
    :param preflight_status: the status of a granted preflight, 200 to 299.
    :param dangerously_allow_insecure_origins: permits ``http://`` origins of other machines together with credentials.
    :param dangerously_allow_public_suffix_subdomains: permits patterns like ``https://*.github.io`` together with
        credentials.
    :param dangerously_allow_null_origin: permits ``"null"``, the origin of every sandboxed frame, without credentials.
    :raises PolicyError: with all problems at once.

    The standard: https://fetch.spec.whatwg.org/#http-cors-protocol
    """

    allow_origins: AllowOrigins
    allow_methods: Names | None
    allow_headers: Names
    expose_headers: Names
    allow_credentials: bool
    max_age: int | timedelta | None
    preflight_status: int
    dangerously_allow_insecure_origins: bool
    dangerously_allow_public_suffix_subdomains: bool
    dangerously_allow_null_origin: bool

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    else:
        __dataclass_fields__ = _DataclassFields()

    def __init__(
        self,
        *,
        allow_origins: AllowOrigins = (),
        allow_methods: Names | None = None,
        allow_headers: Names = ("Content-Type",),
        expose_headers: Names = (),
        allow_credentials: bool = False,
        max_age: int | timedelta | None = 600,
        preflight_status: int = 204,
        dangerously_allow_insecure_origins: bool = False,
        dangerously_allow_public_suffix_subdomains: bool = False,
        dangerously_allow_null_origin: bool = False,
    ) -> None:
        given, problems = locals(), list[Problem]()
        for name, read in _READERS.items():
            vars(self)[name] = read(given[name], _reporter(problems, name))
        _check_together(self, problems)
        if problems:
            raise PolicyError(problems)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        _refuse_change(name)

    def __delattr__(self, name: str) -> NoReturn:
        _refuse_change(name)

    def __repr__(self) -> str:
        return f"Policy({', '.join(f'{name}={getattr(self, name)!r}' for name in FIELDS)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return self._hash

    def override(self, **changes: Unpack[PolicyChanges]) -> Policy:
        """This policy with some fields replaced.

        In a list, ``...`` stands for the inherited values: ``policy.override(allow_headers=[..., "X-Request-Id"])``.

        :raises PolicyError: if the result is not a valid policy, or ``...`` has no list to stand for.
        :raises TypeError: for an unknown field.
        """
        return merge(self, changes)

    def __replace__(self, **changes: Unpack[PolicyChanges]) -> Policy:
        """For `copy.replace`."""
        return self.override(**changes)

    def with_methods(self, methods: Iterable[str]) -> Policy:
        """This policy for just *methods*. They come from a server's routes and are not checked; all else is shared."""
        narrowed = object.__new__(Policy)
        exactly = tuple(sorted(set(methods)))  # not with HEAD for GET: a route has it already, or another view has
        vars(narrowed).update({name: getattr(self, name) for name in FIELDS}, allow_methods=exactly, methods=exactly)
        return narrowed

    def allows_origin(self, origin: str, environ: dict[str, Any] | None = None) -> bool:
        """Whether pages of *origin*, as in the header of that name, may read answers.

        *environ* is handed on to a callable; one that raises, or returns something else than a ``bool``, refuses.
        """
        try:
            return self.ask_about_origin(origin, environ)
        except Exception:  # noqa: BLE001 - as said above
            return False

    def ask_about_origin(self, origin: str, environ: dict[str, Any] | None) -> bool:
        """As `allows_origin`, but what a callable raises comes through, and a verdict that is no ``bool`` raises.

        A callable is asked about well-formed origins only, and never about ``null``.
        """
        allowed = self.allow_origins
        if isinstance(allowed, Origins):
            return allowed.match(origin)
        if not callable(allowed):
            return True
        return parse_origin(origin) is not None and _verdict(allowed, origin, environ)

    def allows_method(self, method: str) -> bool:
        """Whether a preflight may announce *method*, compared as it is: https://fetch.spec.whatwg.org/#methods"""
        return self.allow_methods == fetch.WILDCARD or method in self.methods

    def allows_header(self, name: str) -> bool:
        """Whether a preflight may announce the request header *name*, in whatever case."""
        name = name.lower()
        if self.allows_any_header and name not in fetch.NON_WILDCARD_REQUEST_HEADERS:
            return True
        return name in self._lower_case_headers

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """The methods allowed by name, sorted; ``GET`` has brought ``HEAD``."""
        if self.allow_methods is None:
            return tuple(sorted(fetch.SAFELISTED_METHODS))
        names = set(_names(self.allow_methods))
        # who has GET has HEAD: https://httpwg.org/specs/rfc9110.html#HEAD
        return tuple(sorted(names | {"HEAD"} if "GET" in names else names))

    @cached_property
    def headers(self) -> tuple[str, ...]:
        """The request headers allowed by name, sorted."""
        return _names(self.allow_headers)

    @cached_property
    def exposed(self) -> tuple[str, ...]:
        """The response headers exposed by name, sorted."""
        return _names(self.expose_headers)

    @cached_property
    def allows_any_header(self) -> bool:
        """Whether ``*`` stands among the allowed headers."""
        return self.allow_headers == fetch.WILDCARD or fetch.WILDCARD in self.headers

    @cached_property
    def _lower_case_headers(self) -> frozenset[str]:
        return frozenset(name.lower() for name in self.headers)

    @cached_property
    def remembered(self) -> dict[str, Any]:
        """What others work out under this policy and want to go when it goes; a copy has none of it."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        # without what is computed from the fields: hashes of strings differ from process to process
        return dict(zip(FIELDS, self._values(), strict=True))

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in FIELDS)

    @cached_property
    def _hash(self) -> int:
        values = self._values()
        try:
            return hash(values)
        except TypeError:  # an unhashable callable
            return hash(values[1:])


def _refuse_change(name: str) -> NoReturn:
    from dataclasses import FrozenInstanceError  # what Python raises for this, and not worth an import before

    raise FrozenInstanceError(f"a policy never changes, nor does its {name!r}; policy.override() makes another one")


def _names(value: Names) -> tuple[str, ...]:
    """*value* as the readers below have left it: a tuple of names, or ``"*"``, which names nothing."""
    return () if value == fetch.WILDCARD else cast(tuple[str, ...], value)


def merge(policy: Policy, *levels: Mapping[str, Any]) -> Policy:
    """*policy* with the changes of each level on top of the former. Only the result is checked.

    :raises PolicyError: if the result is not a valid policy, or ``...`` has no list to stand for.
    :raises TypeError: for an unknown field.
    """
    merged: dict[str, Any] = {name: getattr(policy, name) for name in FIELDS}
    for level in levels:
        check_fields(level)
        for name, value in level.items():
            merged[name] = _splice(value, merged[name])
    return Policy(**merged) if any(levels) else policy


def check_fields(changes: Iterable[str]) -> None:
    """:raises TypeError: if *changes* names a field that a policy does not have."""
    for name in changes:
        if name not in FIELDS:
            raise TypeError(f"a policy has no field {name!r}; its fields are {', '.join(FIELDS)}")


def keep(changes: PolicyChanges) -> PolicyChanges:
    """*changes* to be merged time and again, whatever becomes of their lists, and even if those are iterators.

    :raises TypeError: for an unknown field.
    """
    check_fields(changes)
    kept = {
        name: tuple(value) if _is_list(value) and not isinstance(value, Origins) else value
        for name, value in changes.items()
    }
    return cast(PolicyChanges, kept)


def _splice(value: object, inherited: object) -> object:
    """*value* with the inherited values for ``...``; where there are none to list, it stays and is a problem."""
    if not _is_list(value) or isinstance(value, Origins):
        return value
    items = list(value)
    if _is_star(inherited):
        inherited = (fetch.WILDCARD,)
    if not _is_list(inherited):
        return items
    return [spliced for item in items for spliced in (inherited if item is ... else (item,))]


def _verdict(allowed: OriginCallable, origin: str, environ: dict[str, Any] | None) -> bool:
    verdict: object = allowed(origin, {} if environ is None else environ)
    if isinstance(verdict, bool):
        return verdict
    if isinstance(verdict, CoroutineType):
        verdict.close()  # else Python complains that nobody awaited it
    raise TypeError(f"allow_origins returned {type(verdict).__name__}, not bool")


# ---------------------------------------------------------------------------------------
# Reading the fields. A reader returns the value as `Policy` keeps it, and reports what is wrong.
# ---------------------------------------------------------------------------------------

_Report: TypeAlias = Callable[[Flaw], None]


def _reporter(problems: list[Problem], field: str) -> _Report:
    return lambda flaw: problems.append(Problem(field, *flaw))


def _is_star(value: object) -> bool:
    return isinstance(value, str) and value == fetch.WILDCARD


def _is_function(value: object) -> bool:
    """Whether *value* is to be called. No class is: it would make an object, and an enumeration is a list."""
    return callable(value) and not isinstance(value, type)


def _is_list(value: object) -> TypeGuard[Iterable[object]]:
    no_list = isinstance(value, str | bytes | bytearray | memoryview) or _is_function(value)
    return isinstance(value, Iterable) and not no_list


def _read_origins(value: object, report: _Report) -> object:
    if isinstance(value, Origins):
        return value
    if _is_function(value):
        if _is_async(value):
            report(flaw(value, "async-callable"))
        return value
    items = _read_list(value, report)
    if items and all(map(_is_star, items)):
        return fetch.WILDCARD
    origins, flaws = Origins.read(items)
    for found in flaws:
        report(found)
    return origins


def _is_async(function: object) -> bool:
    """Whether *function* gives a coroutine, as far as that can be told without a call."""
    import inspect  # only callables need it, and it takes long

    while isinstance(function, partial):
        function = function.func
    method = getattr(function, "__call__", None)  # noqa: B004 - not whether it has one, but which
    return any(map(inspect.iscoroutinefunction, (function, method))) or inspect.isasyncgenfunction(function)


def _read_methods(value: object, report: _Report) -> object:
    return None if value is None else _read_names(value, report, _check_method, fold=str)


def _read_request_headers(value: object, report: _Report) -> object:
    # '*' never covers Authorization, so the two may stand together
    return _read_names(value, report, _check_request_header, fold=str.lower, star_has_company=True)


def _read_response_headers(value: object, report: _Report) -> object:
    return _read_names(value, report, _check_response_header, fold=str.lower)


def _read_names(
    value: object,
    report: _Report,
    check: Callable[[str], Flaw | None],
    *,
    fold: Callable[[str], str],
    star_has_company: bool = False,
) -> object:
    """Methods or header names, sorted and each once; ``"*"`` alone stays itself."""
    items = _read_list(value, report)
    for found in filter(None, (_check_name(item, check) for item in items)):
        report(found)
    # of two spellings the last stays, so that their order does not matter
    names = {fold(item): item for item in sorted((item for item in items if isinstance(item, str)), reverse=True)}
    if list(names) == [fetch.WILDCARD]:
        return fetch.WILDCARD
    if fetch.WILDCARD in names and not star_has_company:
        report(flaw(fetch.WILDCARD, "wildcard-beside-others"))
    return tuple(names[key] for key in sorted(names))


def _check_name(item: object, check: Callable[[str], Flaw | None]) -> Flaw | None:
    if not isinstance(item, str):
        return flaw(item, "nothing-to-inherit" if item is ... else "not-a-string")
    return None if item == fetch.WILDCARD else check(item)


def _read_list(value: object, report: _Report) -> list[object]:
    """The items of *value*; ``"*"`` is the one string that is read as a list, of itself."""
    if _is_star(value):
        return [fetch.WILDCARD]
    if isinstance(value, str):
        report(flaw(value, "bare-string", fetch.split_list(value)))
    elif not _is_list(value):
        report(flaw(value, "not-a-list"))
    else:
        # plain strings: those of subclasses, as enumerations are, format and compare as they please
        return [str.__str__(item) if isinstance(item, str) else item for item in value]
    return []


def _check_method(method: str) -> Flaw | None:
    if not fetch.is_token(method) or len(method) > MAX_METHOD_LENGTH:
        return flaw(method, "method-invalid")
    if fetch.is_forbidden_method(method):
        return flaw(method, "method-forbidden")
    upper = method.upper()
    # "patch" is the classic: browsers upper-case the others, and this one not
    if method != upper and (fetch.normalize_method(method) == upper or upper == "PATCH"):
        return flaw(method, "method-case", upper)
    return None


def _check_request_header(name: str) -> Flaw | None:
    if not fetch.is_token(name):
        return flaw(name, "header-invalid")
    if fetch.is_forbidden_request_header(name):
        return flaw(name, "header-forbidden")
    return flaw(name, "header-of-response") if name.lower().startswith("access-control-") else None


def _check_response_header(name: str) -> Flaw | None:
    if not fetch.is_token(name):
        return flaw(name, "header-invalid")
    return flaw(name, "header-forbidden") if name.lower() in fetch.FORBIDDEN_RESPONSE_HEADERS else None


def _read_max_age(value: object, report: _Report) -> object:
    seconds: object = value
    if isinstance(value, timedelta) and not value % timedelta(seconds=1):
        seconds = value // timedelta(seconds=1)
    if seconds is None:
        return None
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        report(flaw(value, "max-age-type"))
    elif not 0 <= seconds <= _MAX_MAX_AGE:
        report(flaw(value, "max-age-range"))
    else:
        return int(seconds)  # a plain one, as enumerations format as they please
    return value


def _read_status(value: object, report: _Report) -> object:
    if not isinstance(value, int) or isinstance(value, bool) or not 200 <= value <= 299:
        report(flaw(value, "preflight-status"))
        return value
    return int(value)


def _read_bool(value: object, report: _Report) -> object:
    if not isinstance(value, bool):
        report(flaw(value, "not-a-bool"))
    return value


_READERS: Final[dict[str, Callable[[object, _Report], object]]] = {
    "allow_origins": _read_origins,
    "allow_methods": _read_methods,
    "allow_headers": _read_request_headers,
    "expose_headers": _read_response_headers,
    "allow_credentials": _read_bool,
    "max_age": _read_max_age,
    "preflight_status": _read_status,
    "dangerously_allow_insecure_origins": _read_bool,
    "dangerously_allow_public_suffix_subdomains": _read_bool,
    "dangerously_allow_null_origin": _read_bool,
}

FIELDS: Final = tuple(_READERS)


# ---------------------------------------------------------------------------------------
# What fields must not say together
# ---------------------------------------------------------------------------------------


def _check_together(policy: Policy, problems: list[Problem]) -> None:
    report = _reporter(problems, "allow_origins")
    origins = policy.allow_origins
    has_null = isinstance(origins, Origins) and origins.has_null
    if has_null and policy.dangerously_allow_null_origin is not True:
        report(flaw(fetch.NULL_ORIGIN, "null-origin"))
    if policy.allow_credentials is not True:
        return
    if has_null:
        report(flaw(fetch.NULL_ORIGIN, "null-origin-with-credentials"))
    if origins == fetch.WILDCARD:
        report(flaw(fetch.WILDCARD, "wildcard-with-credentials"))
    if policy.expose_headers == fetch.WILDCARD:
        _reporter(problems, "expose_headers")(flaw(fetch.WILDCARD, "wildcard-with-credentials"))
    if not isinstance(origins, Origins):
        return
    if policy.dangerously_allow_insecure_origins is not True:
        for text in origins.insecure:
            report(flaw(text, "insecure-origin-with-credentials", text.replace("http:", "https:", 1)))
    if policy.dangerously_allow_public_suffix_subdomains is not True:
        for text in origins.on_public_suffixes:
            report(flaw(text, "public-suffix-with-credentials"))
