"""Words, parity, recovery sheet, keystore and hash onion: who a member is."""
