"""Everything of Peerage that talks to the chain."""
