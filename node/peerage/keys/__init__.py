"""What a member's 24 words give, the sheet they are printed on, the keystore of a node, and the hash onion. Pure.

Formats: node/spec/keys.md and node/spec/recovery-sheet.md.
"""
