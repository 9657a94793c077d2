"""The running node."""
