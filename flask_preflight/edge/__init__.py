"""A policy for the edge: what a proxy in front of the app may grant by itself.

The rules of this folder: only *grants* are exported, in the spelling that browsers use. Everything else (refusals,
unusual spellings, escaped paths, actual requests) is left to the app, which has the same policy. So an export must be
right, but need not be complete. ``rows`` says what may be granted. An exporter writes rows in the language of one
server.
"""
