"""The public suffix list: which domains belong to many owners, such as ``co.uk`` and ``github.io``.

https://publicsuffix.org/list/
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache


def public_suffix(domain: str) -> str | None:
    """The public suffix that *domain* ends with, without a last dot; ``None`` if a label is empty.

    A domain in lower case, in its ASCII form; not an IP address. The last label stands for a suffix that is not listed.
    """
    return _load()(domain)


@cache
def _load() -> Callable[[str], str | None]:
    # Loaded when first needed: the list takes some megabytes and a tenth of a second.
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList().publicsuffix
