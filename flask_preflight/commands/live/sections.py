"""What `probe` finds: its sections, its findings, and the table of all ids."""

from __future__ import annotations

from typing import Final, NamedTuple

from flask_preflight.browser import CORSError
from flask_preflight.browser.text import shown
from flask_preflight.commands.output import Finding, Level
from flask_preflight.documentation import link

PAGE: Final = "commands/probe"

FINDINGS: Final[dict[str, str]] = {
    "airplay-receiver": (
        "The AirPlay receiver of a Mac answers on this port, with 403 to everything. Use another port: flask run "
        "--port 5001. Or switch off AirPlay Receiver in the system settings."
    ),
    "wildcard-with-credentials": (
        "Access-Control-Allow-Origin: * comes with Access-Control-Allow-Credentials: true. Browsers refuse that for "
        "requests with cookies. Drop the second header, or name the origin in the first."
    ),
    "wider-than-app": (
        "The app refuses this, and the server allows it. Find out what answers in place of the app. The app: {detail}"
    ),
    "cache-ignores-vary": (
        "A cache ignores Vary: Origin: {detail}. Let the cache put Origin into its key, or do not cache this URL."
    ),
    "vary-missing": "{detail}",
    "origin-reflected": (
        "Every origin is let in{cookies}: {detail} got its own name in Access-Control-Allow-Origin. Compare Origin "
        "with a list of origins, and send it back only if it is listed."
    ),
    "null-allowed": (
        "The origin null is let in{cookies}. Every page can have it, in a sandboxed frame. Take null off the list."
    ),
    "near-miss-allowed": (
        "Let in: {detail}. If these pages are not yours, compare the whole origin, from the scheme to the port, with "
        "==."
    ),
    "loose-comparison": (
        "Let in: {detail}. No browser sends that, so it does no harm now. But the origin is not compared as a whole, "
        "which == does."
    ),
    "grants-more": (
        "The server grants what the app refuses ({count}), first {detail}. Bring the server's rules up to date with "
        "the app's policy, or let the app answer preflights."
    ),
    "grants-less": (
        "The server refuses what the app grants ({count}), first {detail}. Bring the server's rules up to date with "
        "the app's policy, or let the app answer preflights."
    ),
    "grants-differ": (
        "The server grants other things than the app ({count}), first {detail}: {header} is {live!r}, and {app!r} in "
        "the app. Bring the server's rules up to date with the app's policy."
    ),
    "not-all-asked": "Not all questions were asked: {detail}.",
}
"""What each finding of `probe` says, beside those of the browser's steps. Each id is an anchor of `PAGE`."""


class Section(NamedTuple):
    """One part of the report. *text* says what was seen. *is_checked*: without findings, it is ok."""

    name: str
    text: str = ""
    findings: tuple[Finding, ...] = ()
    is_checked: bool = True

    @property
    def verdict(self) -> str:
        """``ok``, ``FAIL``, ``warn``, or nothing if there was nothing to check."""
        levels = {finding.level for finding in self.findings}
        if "error" in levels:
            return "FAIL"
        return "warn" if "warning" in levels else "ok" if self.is_checked else ""


def finding(id_: str, where: str, level: Level = "error", **details: str) -> Finding:
    """The finding *id_* of `FINDINGS`. What a server sent is in *details*."""
    safe = {name: shown(value, 1000) for name, value in details.items()}
    return Finding(id_, level, where, FINDINGS[id_].format_map(safe), link(PAGE, id_))


def finding_of(error: CORSError, *, was_sent: bool = True) -> Finding:
    """The finding for a step that failed, in the words of the browser, and of the server if it explains itself.

    *was_sent*: it is certain that the page gets nothing, because the server was asked.
    """
    refusal = error.exchange.refusal
    change = f"The server: {shown(refusal, 1000)}" if refusal else error.fix
    level: Level = "error" if was_sent else "warning"
    return Finding(error.step.value, level, error.exchange.url, f"{error.why} {change}", error.docs)


def is_problem(item: Finding) -> bool:
    return item.level != "note"
