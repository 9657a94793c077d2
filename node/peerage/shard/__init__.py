"""Erasure code and Merkle sum tree."""
