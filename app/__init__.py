"""Parley: a self-hosted AI chat, rendered on the server."""

__version__ = "0.1.0"
