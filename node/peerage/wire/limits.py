"""The bounds of the peer protocol, units in the names. Normative: node/spec/wire.md."""

from __future__ import annotations

from peerage.model import KIB, MIB

OBJECT_MAX_BYTES = 64 * MIB
"""The largest object: a shard of a 32 MiB pack in any code, or a head."""
PROPOSAL_MAX_BYTES = 16 * KIB
REVISION_MAX_BYTES = 8 * MIB
APPENDED_MAX = 100_000
"""Roots that one revision may append."""
PAGE_MAX = 20_000
"""Objects that one page of a listing may name."""
LISTING_MAX = 2_000_000
"""Objects of one agreement that a client reads; a longer listing is the provider's fault."""
ANSWER_MAX_BYTES = 4 * MIB
"""The largest JSON answer that a client reads."""
HEADS_MAX = 1_000
"""Heads that a listing names, newest first."""

CONNECT_S = 10.0
"""TCP and TLS handshakes together."""
IDLE_S = 30.0
"""No byte for so long, in either direction, ends a transfer."""
CONTROL_TOTAL_S = 60.0
"""A control message and its answer."""
SLOWEST_BYTES_PER_S = 32 * KIB
"""A body slower than this on average, after the first IDLE_S, is given up."""
KEEP_ALIVE_S = 75.0

GOODBYE_S = 2.0
"""For the other side's close of TLS; then the connection is cut."""
RETRY_AFTER_S = 1
"""What a refusal with 429 or 503 tells a client to wait."""

CONNECTIONS = 1024
"""Open ones and handshakes under way. Who comes beyond this or the next bounds is hung up on before a handshake."""
HANDSHAKES = 512
HANDSHAKES_PER_ADDRESS = 256
BACKLOG = 256
CONNECTIONS_PER_MEMBER = 64
REQUESTS_IN_FLIGHT_PER_MEMBER = 32
UPLOADS_IN_FLIGHT = 64
"""Over all members: bounds the memory that bodies take."""
REQUESTS_PER_S_PER_MEMBER = 200
REQUESTS_BURST_PER_MEMBER = 400


def body_total_s(size: int) -> float:
    """How long a body of `size` bytes may take in all."""
    return IDLE_S + size / SLOWEST_BYTES_PER_S
