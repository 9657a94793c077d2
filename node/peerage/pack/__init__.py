"""Packs: many sealed blobs, about 32 MiB, ending in a sealed directory of what is inside. Pure.

Format: node/spec/packs.md.
"""
