"""Many threads commit at once; their work is done in batches, one batch at a time, with no thread of its own.

A thread hands its item in and waits for the turn. Whoever gets the turn takes everything that was handed in meanwhile;
so under load one batch's fsyncs serve many callers, and a lone caller waits for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["GroupCommit"]

T = TypeVar("T")


class _Job(Generic[T]):
    __slots__ = ("done", "error", "item")

    def __init__(self, item: T) -> None:
        self.item = item
        self.done = False
        self.error: BaseException | None = None


class GroupCommit(Generic[T]):
    """carry_out(items) makes all of them durable and returns an error or None for each; if it raises, all failed."""

    def __init__(
        self, carry_out: Callable[[Sequence[T]], Sequence[BaseException | None]], max_batch: int = 256
    ) -> None:
        self._carry_out = carry_out
        self._max_batch = max_batch
        self._waiting: list[_Job[T]] = []
        self._waiting_lock = Lock()
        self._turn = Lock()

    def commit(self, item: T) -> None:
        """Returns once the item is durable; raises what carry_out gave for it."""
        job = _Job(item)
        with self._waiting_lock:
            self._waiting.append(job)
        while not job.done:
            with self._turn:
                if not job.done:
                    self._run_batch()
        if job.error is not None:
            raise job.error

    def _run_batch(self) -> None:
        with self._waiting_lock:
            batch, self._waiting = self._waiting[: self._max_batch], self._waiting[self._max_batch :]
        try:
            errors = self._carry_out([job.item for job in batch])
        except BaseException as error:
            for job in batch:
                job.error, job.done = error, True
            if not isinstance(error, Exception):
                raise  # an interrupt belongs to this thread too
            return
        for job, result in zip(batch, errors, strict=True):
            job.error, job.done = result, True
