"""Cutting files into chunks."""
