"""Cutting files into content-defined chunks. Pure. Normative: node/spec/chunking.md."""
