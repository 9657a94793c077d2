"""Which member gets which shard."""
