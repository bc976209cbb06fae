"""CORS preflights for any WSGI app."""

__version__ = "0.1.0"
