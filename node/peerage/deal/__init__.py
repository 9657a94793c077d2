"""Policy and negotiation."""
