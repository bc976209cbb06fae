"""Policies by path, for `PreflightMiddleware`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from posixpath import normpath
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from flask_preflight.calls import write_fields
from flask_preflight.policy import Policy
from flask_preflight.problems import show

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# Some servers and apps decode, join or resolve these, and others do not; see CVE-2020-25032 and similar ones
_AMBIGUOUS: Final = ("//", "/./", "/../", "\\", "%2e", "%2f", "%5c")


def by_path(policies: Mapping[str, Policy | None]) -> Policy | PathPolicies:
    """A policy for `PreflightMiddleware` that depends on ``PATH_INFO``.

    A key covers its own path and all paths below it, by whole segments: ``/api`` covers ``/api`` and ``/api/x``, not
    ``/apiprivate``. The most specific key wins. ``None`` leaves its paths alone. A path that no key covers, or that can
    be read in two ways (an empty, ``.`` or ``..`` segment, an encoded dot or slash, a backslash), is left alone too.

    Where ``/`` is a key and all keys have the same policy, paths do not matter, and the result is that policy.

    :raises ValueError: for a key that does not start with ``/``, that ends with one, or that can be read in two ways.
    :raises TypeError: if *policies* is not a dictionary, or a value is neither a `Policy` nor ``None``.

    .. versionchanged:: 0.2.0
        One policy for all paths is returned as it is.
    """
    if not isinstance(policies, Mapping):
        path = "/" if isinstance(policies, Policy) else "/api"
        raise TypeError(
            f"by_path: {show(policies)} is not a dictionary with paths; write by_path({{{path!r}: policy}})"
        )
    for key, policy in policies.items():
        _check_key(key)
        if policy is not None and not isinstance(policy, Policy):
            advice = f"write Policy({write_fields(policy)}), or None to leave the path alone"
            raise TypeError(f"by_path: the policy of {key!r} is {show(policy)}; {advice}")
    root = policies.get("/")
    if root is not None and all(policy == root for policy in policies.values()):
        return root
    return PathPolicies(policies)


class PathPolicies:
    """What `by_path` returns: called with an environ, it returns the policy of the path, or ``None``."""

    def __init__(self, policies: Mapping[str, Policy | None]) -> None:
        # WSGI passes each byte of a path as one character: https://peps.python.org/pep-3333/#unicode-issues
        self._policies = {key.rstrip("/").encode().decode("latin-1"): policy for key, policy in policies.items()}
        self._deepest = max((key.count("/") for key in self._policies), default=0)

    def __call__(self, environ: WSGIEnvironment) -> Policy | None:
        key = self._find(environ)
        return None if key is None else self._policies[key]

    def keys(self) -> list[str]:
        """All keys, sorted."""
        return sorted(key.encode("latin-1").decode() or "/" for key in self._policies)

    def policy_of(self, key: str) -> Policy | None:
        """The policy of one of `keys`."""
        return self._policies[key.rstrip("/").encode().decode("latin-1")]

    def key_of(self, environ: WSGIEnvironment) -> str | None:
        """The key that covers the path, for the log."""
        key = self._find(environ)
        return None if key is None else key.encode("latin-1").decode() or "/"

    def _find(self, environ: WSGIEnvironment) -> str | None:
        path: str = environ.get("PATH_INFO", "")
        if _is_ambiguous(path):
            return None
        # only as many segments as the longest key has, however long the path is
        segments = path.split("/", self._deepest + 1)[: self._deepest + 1]
        keys = ("/".join(segments[:count]) for count in range(len(segments), 0, -1))
        return next((key for key in keys if key in self._policies), None)


def _is_ambiguous(path: str) -> bool:
    closed = f"{path.lower()}/" if not path.endswith("/") else path.lower()
    return any(part in closed for part in _AMBIGUOUS)


# Patterns of other libraries: globs, regular expressions, and Flask's converters
_PATTERN: Final = r"[^/]*[*<^].*"

_URL: Final = r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*"


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        text = key.decode("latin-1") if isinstance(key, bytes) else "/api"
        raise TypeError(f"by_path: the key {show(key)} is not a string; write {_correct(text)!r}")
    if re.match(_URL, key):
        raise ValueError(f"by_path: {show(key)} is a URL, and a key is only its path; write {_correct(key)!r}")
    if key.startswith("/") and re.search(_PATTERN, key):
        plain = _correct(key)
        raise ValueError(f"by_path: {show(key)} is not a plain path; a key covers all paths below it: write {plain!r}")
    if not key.startswith("/") or (key != "/" and key.endswith("/")) or "%" in key or _is_ambiguous(key):
        raise ValueError(f"by_path: {show(key)} is not a plain path; write {_correct(key)!r}")


def _correct(key: str) -> str:
    """*key* as a plain path."""
    plain = unquote(re.sub(_URL, "", key, count=1)).replace("\\", "/").replace("%", "")
    return "/" + normpath(re.sub(_PATTERN, "", f"/{plain}")).lstrip("/")
