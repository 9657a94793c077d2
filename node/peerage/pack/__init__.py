"""Packs: many sealed blobs in one object."""
