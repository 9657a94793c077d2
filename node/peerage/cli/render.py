"""Figures and tables for people. JSON never passes through here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

T = TypeVar("T")
NAMED = 20
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(n_bytes: float) -> str:
    """1536 → '1.5 KiB'."""
    value = float(n_bytes)
    for unit in _UNITS[:-1]:
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_UNITS[-1]}"


def rate(n_bytes: float, seconds: float) -> str:
    """Decimal megabytes a second, as disks and networks are sold."""
    return f"{n_bytes / 1e6 / seconds:.1f} MB/s" if seconds > 0 else "–"


def when(time_ns: int | str | None) -> str:
    """Nanoseconds since 1970 as RFC 3339 UTC, to the second; other text as it is."""
    if time_ns is None:
        return "–"
    try:
        seconds = int(time_ns) // 1_000_000_000
    except ValueError:
        return str(time_ns)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, err: bool = False) -> None:
    """Print a plain table: a column is right-aligned when its name starts with '>'."""
    names = [c.lstrip(">") for c in columns]
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max([len(n), *(len(row[i]) for row in cells)]) for i, n in enumerate(names)]
    for row in [names, *cells]:
        line = "  ".join(
            cell.rjust(width) if column.startswith(">") else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        )
        click.echo(line.rstrip(), err=err)


def warn_of(word: str, entries: Sequence[T], shown: Callable[[T], str]) -> None:
    """Name the first NAMED entries on stderr, a line each behind `word`, and say how many more there are."""
    for entry in entries[:NAMED]:
        click.echo(f"{word}: {shown(entry)}", err=True)
    if len(entries) > NAMED:
        click.echo(f"{word}: {len(entries) - NAMED} more; --json names them all", err=True)


def fields(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print 'name  value' lines, values aligned."""
    shown = [(name, str(value)) for name, value in pairs]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name.ljust(width)}  {value}")
