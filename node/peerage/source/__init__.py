"""Files of the operating system: reading and restoring them."""
