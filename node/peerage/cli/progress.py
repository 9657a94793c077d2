"""Shows a running verb's events on stderr: a bar on a terminal, else a plain line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from peerage.cli.render import rate, size

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_S = 5.0
ESTIMATE_AFTER_S = 3.0  # before, the time left would be a guess
NAME_WIDTH = 40  # characters of the current path that a bar shows


class Events:
    """Takes the events of peerage.net.owner_client: {"event": "progress" | "note" | "warning", …}.

    Use as a context manager around the call, and hand `show` to it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = clock()
        self._last_line_s = self._began_s
        self._phase = ""
        self._phase_began_s = self._began_s
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = _new_bar()
            self._bar.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, event: dict[str, Any]) -> None:
        if event.get("event") == "progress":
            self._progress(event)
        elif (message := event.get("message")) is not None:
            prefix = "warning: " if event.get("event") == "warning" else ""
            if self._bar is not None:
                self._bar.console.print(prefix + str(message), markup=False, highlight=False)
            else:
                click.echo(prefix + str(message), err=True)

    def _progress(self, event: dict[str, Any]) -> None:
        now_s = self._clock()
        phase = str(event.get("phase", ""))
        if phase != self._phase:
            self._phase, self._phase_began_s, self._task = phase, now_s, None
        done, total = int(event.get("bytes") or 0), int(event.get("bytes_total") or 0)
        elapsed_s = now_s - self._phase_began_s
        text = _describe(event, elapsed_s)
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task(phase, total=total or None, detail=text)
            name = str(event.get("current") or "")[-NAME_WIDTH:]
            self._bar.update(self._task, completed=done, total=total or None, detail=f"{text}  {name}")
        elif now_s - self._last_line_s >= LINE_EVERY_S:
            self._last_line_s = now_s
            click.echo(f"{phase}: {text}", err=True)


def _describe(event: dict[str, Any], elapsed_s: float) -> str:
    parts = []
    if event.get("files") is not None:
        of = f"/{event['files_total']}" if event.get("files_total") else ""
        parts.append(f"{event['files']}{of} files")
    if event.get("bytes") is not None:
        of = f"/{size(event['bytes_total'])}" if event.get("bytes_total") else ""
        parts.append(f"{size(event['bytes'])}{of}")
        if event["bytes"] and elapsed_s > 0.5:
            parts.append(rate(event["bytes"], elapsed_s))
    if event.get("bytes_sent"):
        parts.append(f"{size(event['bytes_sent'])} sent")
    done, total = int(event.get("bytes") or 0), int(event.get("bytes_total") or 0)
    if 0 < done < total and elapsed_s > ESTIMATE_AFTER_S:
        parts.append(f"{_clock(elapsed_s * (total - done) / done)} left")
    return ", ".join(parts)


def _clock(seconds: float) -> str:
    """75 → '1:15', 3675 → '1:01:15'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _new_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
