"""Keys, chunk ids, compression and encryption."""
