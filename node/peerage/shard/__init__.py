"""Shards and their Merkle sum trees: a pack becomes k+m shards, and each shard's every KiB can be proven. Pure.

Formats: node/spec/shards.md and node/spec/trees.md.
"""
