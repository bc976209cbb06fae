"""What is allowed: :class:`Policy`, immutable, and checked when it is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from types import CoroutineType, EllipsisType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias, TypedDict, cast, final

from flask_preflight import fetch
from flask_preflight.calls import changed_fields, check_field_names, takes_fields, write_fields
from flask_preflight.checks import READERS, check_together, is_list, is_star, read_fields
from flask_preflight.origin import Origins, lazy, parse_origin
from flask_preflight.problems import PolicyError

if TYPE_CHECKING:
    from typing_extensions import Unpack

OriginCallable: TypeAlias = Callable[[str, dict[str, Any]], bool]
AllowOrigins: TypeAlias = Literal["*"] | Iterable[str | EllipsisType] | OriginCallable
Names: TypeAlias = Literal["*"] | Iterable[str | EllipsisType]

# How many policies for fewer methods are kept with one policy
_MOST_NARROWED: Final = 64


class PolicyChanges(TypedDict, total=False):
    """The fields of `Policy` as keyword arguments, for functions that pass some of them on."""

    allow_origins: AllowOrigins
    allow_methods: Names | None
    allow_headers: Names
    expose_headers: Names
    allow_credentials: bool
    max_age: int | timedelta | None
    allow_timing: bool
    preflight_status: int
    dangerously_allow_insecure_origins: bool
    dangerously_allow_public_suffix_subdomains: bool
    dangerously_allow_null_origin: bool


@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Policy:
    """Which origins may read a server's responses, and which requests a preflight may announce.

    A policy never changes. Equal policies have the same hash. Lists are kept sorted and without repetition, so the
    order and the kind of the iterable do not matter. Callables are compared by identity. Nothing is allowed by default.

    :param allow_origins: ``"*"``; an iterable of origins (``"https://example.com"``) and patterns
        (``"https://*.example.com"``, ``"http://localhost:*"``, ``"moz-extension://*"``, ``"safari-web-extension://*"``);
        or a callable ``allowed(origin: str, environ: dict) -> bool`` for origins that change while the server runs.
    :param allow_methods: methods, ``"*"``, or ``None``: under Flask the methods of the route, around other apps GET,
        HEAD and POST. ``GET`` covers ``HEAD``.
    :param allow_headers: request headers beyond those that need no preflight, or ``"*"``, which does not cover
        ``Authorization``: write ``["*", "Authorization"]`` for that.
    :param expose_headers: response headers that scripts may read, or ``"*"``.
    :param allow_credentials: cookies, TLS client certificates, and HTTP authentication by the browser.
    :param max_age: how long browsers may cache a granted preflight: whole seconds from 0 (not at all) to 86400, or a
        ``timedelta``; ``None`` sends nothing, and browsers then take 5 seconds.
    :param allow_timing: whether scripts of allowed origins may read detailed resource timings.
    :param preflight_status: the status of a granted preflight, 200 to 299.
    :param dangerously_allow_insecure_origins: permits ``http://`` origins of other machines together with credentials.
    :param dangerously_allow_public_suffix_subdomains: permits patterns like ``https://*.github.io`` together with
        credentials.
    :param dangerously_allow_null_origin: permits ``"null"``, the origin of every sandboxed frame, without credentials.
    :raises PolicyError: with all problems at once.
    :raises TypeError: for an unknown field.

    The standard: https://fetch.spec.whatwg.org/#http-cors-protocol
    """

    allow_origins: AllowOrigins = ()
    allow_methods: Names | None = None
    allow_headers: Names = ("Content-Type",)
    expose_headers: Names = ()
    allow_credentials: bool = False
    max_age: int | timedelta | None = 600
    allow_timing: bool = False
    preflight_status: int = 204
    dangerously_allow_insecure_origins: bool = False
    dangerously_allow_public_suffix_subdomains: bool = False
    dangerously_allow_null_origin: bool = False

    responses: ClassVar[Any] = None
    broad: ClassVar[Policy | None] = None  # of a narrowed policy: the one that it comes from

    if not TYPE_CHECKING:  # otherwise type checkers would accept any name

        def __new__(cls, *args, **fields):
            if args:
                raise TypeError(f"Policy takes keywords only: write Policy({write_fields(args[0], fields)})")
            check_field_names(fields)
            return super().__new__(cls)

    def __post_init__(self) -> None:
        values, problems = read_fields(self._fields())
        check_together(values, problems)
        if problems:
            raise PolicyError(problems)
        vars(self).update(values)

    def __repr__(self) -> str:
        """The call that makes an equal policy, without the defaults."""
        return f"Policy({', '.join(f'{name}={value!r}' for name, value in changed_fields(self).items())})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        return self is other or self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @takes_fields("policy.override({})")
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

    def allows_origin(self, origin: str, environ: dict[str, Any] | None = None) -> bool:
        """Whether pages of *origin*, a value of that header, may read responses.

        *environ* is passed to a callable. If a callable raises, or returns something other than a ``bool``, the origin
        is refused.
        """
        try:
            return self.ask_about_origin(origin, environ)
        except Exception:  # noqa: BLE001 - the docstring says so
            return False

    def ask_about_origin(self, origin: str, environ: dict[str, Any] | None) -> bool:
        """As `allows_origin`, but exceptions of a callable propagate, and a result that is not a ``bool`` raises.

        A callable gets only well-formed origins, and never ``null``.
        """
        allowed = self.allow_origins
        if isinstance(allowed, Origins):
            return allowed.match(origin)
        if not callable(allowed):
            return True
        return parse_origin(origin) is not None and _call(allowed, origin, environ)

    @property
    def allows_any_origin(self) -> bool:
        """Whether the policy is public: ``allow_origins="*"``."""
        return is_star(self.allow_origins)

    def allows_header(self, name: str) -> bool:
        """Whether a preflight may announce the request header *name*, compared without case.

        ``*`` is a valid name, but an answer that names it would allow every header, and browsers would cache that.
        """
        lower = name.lower()
        if lower in self.header_names:
            return name.isascii()  # `str.lower` makes ASCII of some other letters
        if not self.allows_any_header:
            return False
        return lower not in fetch.NON_WILDCARD_REQUEST_HEADERS and name != fetch.WILDCARD and fetch.is_token(name)

    @lazy
    def allows_any_method(self) -> bool:
        """Whether ``allow_methods`` is ``"*"``."""
        return is_star(self.allow_methods)

    @lazy
    def methods(self) -> tuple[str, ...]:
        """The methods allowed by name, sorted; ``GET`` brings ``HEAD``."""
        if self.allow_methods is None:
            return tuple(sorted(fetch.SAFELISTED_METHODS))
        names = set(_names(self.allow_methods))
        # a resource that has GET has HEAD: https://httpwg.org/specs/rfc9110.html#HEAD
        return tuple(sorted(names | {"HEAD"} if "GET" in names else names))

    @lazy
    def headers(self) -> tuple[str, ...]:
        """The request headers allowed by name, sorted."""
        return _names(self.allow_headers)

    @lazy
    def exposed(self) -> tuple[str, ...]:
        """The response headers exposed by name, sorted."""
        return _names(self.expose_headers)

    @lazy
    def allows_any_header(self) -> bool:
        """Whether ``*`` is among the allowed headers."""
        return is_star(self.allow_headers) or fetch.WILDCARD in self.headers

    @lazy
    def header_names(self) -> frozenset[str]:
        """The allowed headers in lower case, as browsers send them, and ``""`` for empty elements."""
        return frozenset(("", *(name.lower() for name in self.headers if name != fetch.WILDCARD)))

    def narrow(self, methods: Iterable[str]) -> Policy:
        """This policy for exactly *methods*, which come from a server's routes."""
        return self._narrowed(frozenset(methods))

    @lazy
    def _narrowed(self) -> Callable[[frozenset[str]], Policy]:
        # a twin's method, since this policy and a cache of its own method would keep each other alive
        return lru_cache(maxsize=_MOST_NARROWED)(self.twin()._narrow)

    def _narrow(self, methods: frozenset[str]) -> Policy:
        # Without HEAD for GET: the route has it already, or another view has it. And without what is no method, since
        # browsers discard a list with such a name: https://fetch.spec.whatwg.org/#cors-preflight-fetch-0
        names = (method for method in methods if fetch.is_token(method) and not fetch.is_forbidden_method(method))
        exactly = tuple(sorted(names))
        return self.twin(allow_methods=exactly, methods=exactly, broad=self)

    def twin(self, **values: object) -> Policy:
        """A copy with other *values*, which are neither read nor checked."""
        twin = object.__new__(Policy)
        vars(twin).update(self._fields(), methods=self.methods)
        vars(twin).update(values)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        # without computed values: hashes of strings differ from process to process
        return self._fields()

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FIELDS}

    @lazy
    def _identity(self) -> tuple[object, ...]:
        """What makes two policies equal. Two callables are never equal, whatever their ``__eq__`` says."""
        origins, *others = (getattr(self, name) for name in FIELDS)
        return (id(origins) if callable(origins) else origins, *others)


FIELDS: Final = tuple(READERS)

# `inspect` and Sphinx show the fields, and not the arguments of `__new__`.
_self, *_fields = inspect.signature(Policy.__init__).parameters.values()
Policy.__signature__ = inspect.Signature(_fields)  # type: ignore[attr-defined]


def _names(value: Names) -> tuple[str, ...]:
    """A list field as `checks` has read it: a tuple of names, or ``"*"``, which names nothing."""
    return () if is_star(value) else cast(tuple[str, ...], value)


def merge(policy: Policy, *levels: Mapping[str, Any]) -> Policy:
    """*policy* with the changes of each level on top of the level before. Only the result is checked.

    :raises PolicyError: if the result is not a valid policy, or ``...`` has no list to stand for.
    :raises TypeError: for an unknown field.
    """
    merged = policy._fields()
    for level in levels:
        check_field_names(level)
        for name, value in level.items():
            merged[name] = _splice(value, merged[name])
    return Policy(**merged) if any(levels) else policy


def freeze_changes(changes: Mapping[str, Any]) -> PolicyChanges:
    """*changes* with their lists as tuples, to be merged again and again.

    :raises TypeError: for an unknown field.
    """
    check_field_names(changes)
    frozen = {
        name: tuple(value) if is_list(value) and not isinstance(value, Origins) else value
        for name, value in changes.items()
    }
    return cast(PolicyChanges, frozen)


def check_changes(changes: Mapping[str, Any]) -> None:
    """Check each value by itself, as far as that is possible before it is merged.

    :raises PolicyError: with all problems.
    """
    alone = {name: _splice(value, ()) for name, value in changes.items()}
    _, problems = read_fields(alone)
    if problems:
        raise PolicyError(problems)


def _splice(value: object, inherited: object) -> object:
    """*value* with the inherited values in place of ``...``, which stays, as a problem, without a list to inherit."""
    if not is_list(value) or isinstance(value, Origins):
        return value
    items = list(value)
    if is_star(inherited):
        inherited = (fetch.WILDCARD,)
    if not is_list(inherited):
        return items
    return [spliced for item in items for spliced in (inherited if item is ... else (item,))]


class NotABool(TypeError):
    """A callable has returned something else: *returned* is the name of its type.

    *place* is the file and line of the callable, if it is a function.
    """

    def __init__(self, allowed: OriginCallable, verdict: object) -> None:
        self.returned = type(verdict).__name__
        super().__init__(f"allow_origins returned {self.returned}, not bool")
        code = getattr(allowed, "__code__", None)
        self.place: tuple[str, int] | None = (code.co_filename, code.co_firstlineno) if code else None


def _call(allowed: OriginCallable, origin: str, environ: dict[str, Any] | None) -> bool:
    verdict: object = allowed(origin, {} if environ is None else environ)
    if isinstance(verdict, bool):
        return verdict
    if isinstance(verdict, CoroutineType):
        verdict.close()  # otherwise Python warns that it was never awaited
    raise NotABool(allowed, verdict)
