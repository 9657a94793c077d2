"""Sealing: repository keys and what is derived from them, chunk ids, compression, AES-256-GCM. Pure.

Formats: node/spec/keys.md and node/spec/sealing.md.
"""
