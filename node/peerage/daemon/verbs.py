"""What the owner can ask of a running node. Each verb returns what --json prints (node/spec/owner-interface.md)."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from peerage.daemon import keeping
from peerage.daemon.backing import BackupVerbs
from peerage.daemon.clock import Clock
from peerage.daemon.limits import Limits
from peerage.daemon.maintenance import MaintenanceVerbs
from peerage.daemon.owner import DataVerb, StreamVerb, Verb
from peerage.daemon.params import flag, given, integers, number, string, text
from peerage.daemon.policies import Policies
from peerage.daemon.reading import ReadingVerbs
from peerage.daemon.schedule import Scheduler
from peerage.deal.policy import Policy
from peerage.errors import PeerageError, UserError
from peerage.flow.context import NodeContext, Report
from peerage.flow.demand import demand, open_demands
from peerage.flow.feasible import possible
from peerage.flow.forecast import Forecast, forecast
from peerage.flow.forget import shown
from peerage.flow.health import health_of
from peerage.flow.publish import waiting
from peerage.flow.quality import quality
from peerage.flow.risk import REPAIR_HOURS, risk
from peerage.flow.sharing import below_promise, shared
from peerage.flow.snapshots import summaries
from peerage.store.decisions import Decisions
from peerage.store.home import Home
from peerage.store.measures import Measures
from peerage_chain.errors import ChainFault, ChainUnavailable
from peerage_chain.types import CREDIT, AgreementInfo

ContextVerb = Callable[[NodeContext, dict[str, Any], Report], Awaitable[dict[str, Any]]]


class Verbs:
    """The verbs of one node. Those that need the chain or the peers wait until the node has joined."""

    def __init__(self, home: Home, policies: Policies, decisions: Decisions, limits: Limits) -> None:
        self._home = home
        self._policies = policies
        self._decisions = decisions
        self._context: NodeContext | None = None
        self._clock: Clock | None = None
        self._scheduler: Scheduler | None = None
        self._measures: Measures | None = None
        self._backing = BackupVerbs(lambda: self._joined, home.path, lambda: home.config().hooks, limits)
        self._reading = ReadingVerbs(lambda: self._joined)
        self._maintenance = MaintenanceVerbs(lambda: self._joined, self._backing)
        self._closing = False

    def table(self) -> dict[str, Verb]:
        return {
            "ping": self._ping,
            "status": self._status,
            "backup": self._backing.backup,
            "snapshots": self._snapshots,
            "ls": self._reading.ls,
            "stats": self._reading.stats,
            "risk": self._joining(_risk),
            "quality": self._quality,
            "restore": self._reading.restore,
            "forget": self._joining(keeping.forget),
            "hold": self._joining(keeping.hold),
            "release": self._joining(keeping.release),
            "prune": self._maintenance.prune,
            "check": self._maintenance.check,
            "rebuild": self._maintenance.rebuild,
            "schedule": self._show_schedule,
            "schedule.run": self._run_scheduled,
            "agreements": self._agreements,
            "demand": self._joining(_demand),
            "policy.show": self._show_policy,
            "policy.set": self._change_policy,
            "policy.check": self._check_policy,
        }

    def data_table(self) -> dict[str, DataVerb]:
        """The verbs that answer with data, on /v1/data/."""
        return {
            "cat": self._reading.cat,
            "find": self._reading.find,
            "diff": self._reading.diff,
            "preview": self._reading.preview,
            "tree": self._reading.tree,
            "read": self._reading.read,
            "files": self._reading.files,
            "links": self._reading.links,
        }

    def stream_table(self) -> dict[str, StreamVerb]:
        """The verbs that take data, on /v1/stream/."""
        return {"backup": self._backing.backup_stream}

    def ready(self, context: NodeContext, clock: Clock, scheduler: Scheduler, measures: Measures) -> None:
        """Serve from now on; calling it again changes nothing."""
        if self._context is None:
            self._context, self._clock, self._scheduler, self._measures = context, clock, scheduler, measures
            scheduler.start()

    def closing(self) -> None:
        self._closing, self._context = True, None

    def exclusive(self, what: str) -> AbstractAsyncContextManager[None]:
        """Do `what` ("a rebuild") while no backup runs. Raises Busy."""
        return self._backing.exclusive(what)

    @property
    def busy(self) -> bool:
        """Whether a backup is running."""
        return self._backing.busy

    @property
    def _joined(self) -> NodeContext:
        if self._closing:
            raise PeerageError("the node is shutting down: start it again with `peerage up`")
        if self._context is None:
            raise ChainUnavailable(
                "the node has not joined yet (chain not reached, or not admitted): see its log, then try again"
            )
        return self._context

    def _joining(self, verb: ContextVerb) -> Verb:
        """A verb of another module: it gets the node's context once the node has joined."""

        async def run(params: dict[str, Any], report: Report) -> dict[str, Any]:
            return await verb(self._joined, params, report)

        return run

    async def _ping(self, _params: dict[str, Any], _report: Report) -> dict[str, Any]:
        return {"joined": self._context is not None, "pid": os.getpid()}

    async def _snapshots(self, _params: dict[str, Any], _report: Report) -> dict[str, Any]:
        return {"snapshots": [shown(s) for s in summaries(self._joined)]}

    async def _status(self, _params: dict[str, Any], _report: Report) -> dict[str, Any]:
        context = self._joined
        health = await context.in_worker(health_of, context.catalogue)
        clock = self._clock
        time = clock.time if clock is not None else None
        try:
            free = await context.ledger.balance(context.member)
            agreements = await context.ledger.agreements_of(context.member)
            balance, ahead = credits(free), forecast(agreements, context.member, free, time.epoch) if time else None
            warnings = below_promise(context.policy().give, agreements, context.member)
        except ChainFault:
            balance, ahead, warnings = "", None, []
        newest = context.catalogue.newest_head()
        return {
            "member": context.member,
            "health": health.health,
            "snapshots": context.catalogue.snapshot_count(),
            "stripes": {
                "total": health.total,
                "whole": health.whole,
                "degraded": health.degraded,
                "lost": health.lost,
            },
            "shards": {"total": health.shards_total, "proven": health.shards_proven},
            "repaired_shards": health.repaired_shards,
            "repair_bytes": health.repair_bytes,
            "repair_bytes_least": health.repair_bytes_least,
            "providers": len({a.provider for a in context.catalogue.agreements() if a.live}),
            "balance": balance,
            "forecast": _foreseen(ahead) if ahead else None,
            "appeals": context.catalogue.counter("appeals-pending"),
            "warnings": [*(ahead.warnings() if ahead else []), *warnings],
            "head": newest[0] if newest else 0,
            "anchored": bool(newest and newest[3]),
            "records_waiting": waiting(context.catalogue),
            "policy_trouble": self._policies.trouble,
            "epoch": time.epoch if time else None,
            "chain_reachable": clock is not None and clock.reachable,
            "schedule": self._scheduler.rows() if self._scheduler is not None else [],
        }

    async def _quality(self, _params: dict[str, Any], _report: Report) -> dict[str, Any]:
        context = self._joined
        assert self._measures is not None
        return await quality(context, self._measures)

    async def _agreements(self, params: dict[str, Any], _report: Report) -> dict[str, Any]:
        context = self._joined
        shown: dict[str, Any] = {"agreements": [_shown(a) for a in await context.ledger.agreements_of(context.member)]}
        return shown | {"decisions": self._decisions.newest()} if flag(params, "why") else shown

    async def _show_schedule(self, _params: dict[str, Any], _report: Report) -> dict[str, Any]:
        assert self._joined
        assert self._scheduler is not None
        return {"jobs": self._scheduler.rows()}

    async def _run_scheduled(self, params: dict[str, Any], report: Report) -> dict[str, Any]:
        assert self._joined
        assert self._scheduler is not None
        return await self._scheduler.run_now(string(params, "name"), report)

    async def _show_policy(self, _params: dict[str, Any], _report: Report) -> dict[str, Any]:
        return self._policies.current().show()

    async def _change_policy(self, params: dict[str, Any], _report: Report) -> dict[str, Any]:
        if self._policies.trouble:
            raise UserError(f"policy.toml was edited and is not in force; mend it first: {self._policies.trouble}")
        changed = self._policies.current().set(string(params, "key"), given(params, "value"))
        await self._policies.change(changed, self._context)
        return changed.show()

    async def _check_policy(self, params: dict[str, Any], _report: Report) -> dict[str, Any]:
        toml = text(params, "toml")
        policy = Policy.parse(toml) if toml else self._policies.current()
        context = self._joined
        agreements = await context.ledger.agreements_of(context.member)
        return {
            "numbers": possible(context, await context.ledger.roster(), policy).numbers,
            "hours": shared(policy.give, context.clock_ns() // 10**9),
            "warnings": below_promise(policy.give, agreements, context.member),
        }


async def _risk(context: NodeContext, params: dict[str, Any], _report: Report) -> dict[str, Any]:
    return await risk(context, integers(params, "without"), number(params, "repair_hours", REPAIR_HOURS))


async def _demand(context: NodeContext, params: dict[str, Any], report: Report) -> dict[str, Any]:
    agreement, leaves = text(params, "agreement"), integers(params, "leaves")
    if any(index < 0 for index in leaves):
        raise UserError("leaves are counted from 0")
    return await demand(context, agreement, leaves, report) if agreement else await open_demands(context)


def credits(micro: int) -> str:
    """Micro-credits as a decimal string of credits, exactly."""
    return f"{micro // CREDIT}.{micro % CREDIT:06d}"


def _foreseen(ahead: Forecast) -> dict[str, Any]:
    amounts = ("spending", "earning", "to_spend", "to_earn", "escrow", "collateral")
    return {
        **{name: credits(getattr(ahead, name)) for name in amounts},
        "money_ends": ahead.money_ends,
        "term_ends": ahead.term_ends,
    }


def _shown(a: AgreementInfo) -> dict[str, Any]:
    return {
        "id": a.id.hex(),
        "client": a.terms.client,
        "provider": a.terms.provider,
        "state": a.state.name.lower(),
        "capacity": a.terms.capacity,
        "leaves": a.leaves,
        "price_per_gib_epoch": a.terms.price_per_gib_epoch,
        "start_epoch": a.terms.start_epoch,
        "end_epoch": a.terms.end_epoch,
        "sequence": a.sequence,
        "settled_through": a.settled_through,
        "misses": a.misses,
        "escrow": credits(a.escrow),
        "collateral": credits(a.collateral),
    }
