"""Peerage: mutual backup for organisations."""

__version__ = "0.1.0"
