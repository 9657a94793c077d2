"""What the node does by itself: verbs of the owner's interface at their times, one at a time (node/spec/home.md).

A run that was missed, because the node was down or busy, is made up once. What ran when is kept in the catalogue.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Any

import structlog

from peerage.daemon.owner import Verb
from peerage.errors import (
    EXIT_CHAIN,
    EXIT_INTEGRITY,
    EXIT_INTERNAL,
    EXIT_PEERS,
    Busy,
    PeerageError,
    UserError,
    exit_code_of,
)
from peerage.flow.context import Report
from peerage.model.timetable import Every
from peerage.store.catalogue import Catalogue
from peerage.store.config_tables import Job
from peerage_chain.errors import ChainFault

LOOK_S = 30.0
"""The configuration is read again, and the clock looked at, at least so often."""
BUSY_S = 20
"""Seconds until a job that met another's work is tried again."""
RETRY_S = 600
TRIES = 3
"""A job that failed for the peers' or the chain's sake is tried so often in all, before it waits for its next time."""

log = structlog.get_logger()


class Scheduler:
    """Runs the jobs that the configuration lists, from start() on. `run` returns only by cancellation.

    jobs: those of now; it may raise UserError. verbs: what they may do. seed: what jitter depends on besides the job's
    name and time, so that members do not all start at once. report: takes the events of jobs that nobody watches.
    """

    def __init__(
        self,
        jobs: Callable[[], Sequence[Job]],
        verbs: Mapping[str, Verb],
        catalogue: Catalogue,
        zone: tzinfo,
        seed: str,
        report: Report,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._read = jobs
        self._verbs = {name: verb for name, verb in verbs.items() if not name.startswith("schedule")}
        self._catalogue = catalogue
        self._zone = zone
        self._seed = seed
        self._report = report
        self._now_s = now_s
        self._jobs: list[Job] = []
        self._problem = ""
        self._lock = asyncio.Lock()
        self._started = asyncio.Event()
        self._running = ""
        self._not_before: dict[str, int] = {}
        self._tries: dict[str, int] = {}
        self._messages: dict[str, str] = {}

    def start(self) -> None:
        """The node has joined: its verbs can be asked."""
        self._started.set()

    async def run(self) -> None:
        await self._started.wait()
        while True:
            self.reload()
            now = self._now()
            due = min(((self._due(job, now), job) for job in self._jobs), key=lambda pair: pair[0], default=None)
            if due is not None and due[0] <= now and not self._lock.locked():
                await self._attempt(due[1], self._report)
                await asyncio.sleep(0)
            else:
                wait_s = LOOK_S if due is None else min(LOOK_S, max(1.0, due[0] - self._now_s()))
                await asyncio.sleep(wait_s)

    async def run_now(self, name: str, report: Report) -> dict[str, Any]:
        """Run one job; its next time is counted from now. Raises UserError for an unknown name, Busy, and its own."""
        self.reload()
        job = next((job for job in self._jobs if job.called == name), None)
        if job is None:
            raise UserError(f"the schedule has no {name!r}: `peerage schedule` lists it")
        if self._lock.locked():
            raise Busy(f"{self._running} is running: wait for it to end")
        return await self._once(job, report)

    def rows(self) -> list[dict[str, Any]]:
        """The jobs, when each ran last and how, and when it is next; times in ns since 1970."""
        self.reload()
        now = self._now()
        return [
            {
                "name": job.called,
                "do": job.do,
                "when": _shown(job),
                "running": job.called == self._running,
                "last_ns": _ns(self._counter(job, "ran")),
                "code": self._counter(job, "code") if self._counter(job, "ran") else None,
                "message": self._messages.get(job.called, ""),
                "next_ns": _ns(max(now, self._due(job, now))),
            }
            for job in self._jobs
        ]

    def reload(self) -> None:
        """Take the configuration as it is now; while it cannot be read, the last one that could."""
        try:
            self._jobs, problem = list(self._read()), ""
        except PeerageError as error:
            problem = str(error)
        if problem and problem != self._problem:
            log.warning("the schedule cannot be read: the last one stays in force", reason=problem)
        self._problem = problem

    # -- when --------------------------------------------------------------------------------------------------------

    def _due(self, job: Job, now: int) -> int:
        not_before = min(self._not_before.get(job.called, 0), now + RETRY_S)
        when = job.when
        last = self._past(job, "last", now)
        if not last and isinstance(when, Every):
            return max(now, not_before)
        # A time of day before the job was there was not missed.
        due = when.after(last or self._past(job, "since", now) or self._remember(job, "since", now), self._zone)
        return max(due + self._jitter(job, due), not_before)

    def _past(self, job: Job, what: str, now: int) -> int:
        """A time of the catalogue; a clock that was set back makes it now, so that it puts nothing off."""
        time_s = self._counter(job, what)
        return self._remember(job, what, now) if time_s > now else time_s

    def _remember(self, job: Job, what: str, value: int) -> int:
        self._catalogue.set_counter(_counter_name(job, what), value)
        return value

    def _jitter(self, job: Job, due: int) -> int:
        if not job.jitter_s:
            return 0
        digest = hashlib.sha256(f"{self._seed} {job.called} {due}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % job.jitter_s

    # -- running -----------------------------------------------------------------------------------------------------

    async def _attempt(self, job: Job, report: Report) -> None:
        """Run a job that is due; what fails is told in the log and in rows()."""
        name = job.called
        self._not_before.pop(name, None)
        try:
            await self._once(job, report)
        except Busy:
            self._not_before[name] = self._now() + BUSY_S
        except Exception:  # told already
            code, tries = self._counter(job, "code"), self._tries.get(name, 0) + 1
            if code in (EXIT_PEERS, EXIT_CHAIN) and tries < TRIES:
                self._tries[name] = tries
                self._not_before[name] = self._now() + RETRY_S
                return
            self._settle(job)

    async def _once(self, job: Job, report: Report) -> dict[str, Any]:
        async with self._lock:
            self._running = job.called
            started = self._now()
            try:
                verb = self._verbs.get(job.do)
                if verb is None:
                    raise UserError(f"the schedule's {job.called} asks for {job.do!r}, which is no verb of this node")
                log.info("scheduled work begins", name=job.called, do=job.do)
                result = await verb(dict(job.params), report)
            except Busy:
                raise
            except Exception as error:
                code = _code_of(error)
                self._ended(job, started, code, " ".join(str(error).split()))
                if code == EXIT_INTERNAL:
                    log.exception("scheduled work failed", name=job.called)
                else:
                    log.warning("scheduled work failed", name=job.called, code=code, reason=str(error))
                raise
            else:
                code = exit_code_of(result)
                self._ended(job, started, code, "")
                self._settle(job, started)
                level = log.warning if code in (EXIT_PEERS, EXIT_INTEGRITY) else log.info
                level("scheduled work ended", name=job.called, code=code, seconds=self._now() - started)
                return result
            finally:
                self._running = ""

    def _ended(self, job: Job, started: int, code: int, message: str) -> None:
        self._messages[job.called] = message
        self._remember(job, "ran", started)
        self._remember(job, "code", code)

    def _settle(self, job: Job, started: int = 0) -> None:
        """Done with this time, well or not: the next one is counted from it."""
        self._tries.pop(job.called, None)
        self._remember(job, "last", started or self._counter(job, "ran"))

    def _counter(self, job: Job, what: str) -> int:
        return self._catalogue.counter(_counter_name(job, what))

    def _now(self) -> int:
        return int(self._now_s())


def _counter_name(job: Job, what: str) -> str:
    return f"schedule:{job.called}:{what}"


def _code_of(error: Exception) -> int:
    if isinstance(error, PeerageError):
        return error.exit_code
    return EXIT_CHAIN if isinstance(error, ChainFault) else EXIT_INTERNAL


def _shown(job: Job) -> str:
    if job.every:
        return f"every {job.every}"
    return f"at {job.at}" + (f" on {', '.join(job.on)}" if job.on else "")


def _ns(seconds: int) -> str | None:
    return str(seconds * 10**9) if seconds else None
