"""Jurisdictions by ISO 3166-1 alpha-2 code, and named groups of them. The groups are of AS_OF: a policy that needs
others names the codes."""

from __future__ import annotations

from collections.abc import Iterable

AS_OF = "2024-01-01"

EU = frozenset("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split())  # noqa: SIM905
"""The European Union's 27, as they are since 2020-02-01."""
EEA = EU | {"IS", "LI", "NO"}
"""The European Economic Area's 30."""
GROUPS = {"EU": EU, "EEA": EEA}


def covers(listed: Iterable[str], jurisdiction: str) -> bool:
    """Whether a list of codes and group names has this jurisdiction in it."""
    return any(jurisdiction == name or jurisdiction in GROUPS.get(name, ()) for name in listed)
