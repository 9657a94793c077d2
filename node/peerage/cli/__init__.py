"""The command line: one file per family of verbs, and the devnet. It chooses adapters and prints; it decides nothing.

The interface (names, exit codes, JSON keys) is normative in node/spec/cli.md.
"""
