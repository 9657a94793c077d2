"""The node: it joins, answers peers, keeps its promises and watches its own data, until it is stopped.

Each concern is one small loop over the chain's clock, so that a slow one (a repair) never makes another late (a beat).
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import structlog

from peerage.daemon.clock import Clock
from peerage.daemon.joining import CONNECT_EVERY_S, Joining
from peerage.daemon.limits import Limits, Sharing
from peerage.daemon.loops import Loops
from peerage.daemon.owner import OwnerServer
from peerage.daemon.policies import Policies
from peerage.daemon.schedule import Scheduler
from peerage.daemon.verbs import Verbs
from peerage.deal.decision import Decision
from peerage.deal.policy import offer_of
from peerage.errors import LocalFault, PeerageError, UserError
from peerage.flow.appeals import Appeals
from peerage.flow.context import NodeContext
from peerage.flow.offers import refresh_promised
from peerage.flow.probe import Prober
from peerage.flow.prove import answer_demands, beat, prove
from peerage.flow.provide import Provider
from peerage.flow.publish import record
from peerage.flow.quality import refresh_quality
from peerage.flow.rebuild import is_lost, rebuild_catalogue
from peerage.flow.removal import carry_out_removals
from peerage.flow.renew import renew
from peerage.flow.repair import repair
from peerage.flow.returned import look_for_anchor, open_again, record_again
from peerage.flow.scrub import Scrubber, report_damage
from peerage.flow.settling import Settling
from peerage.flow.sharing import below_promise
from peerage.flow.traffic import note_read
from peerage.flow.unserved import demand_unserved
from peerage.flow.watch import watch
from peerage.keys.keystore import Keystore
from peerage.keys.onion import Onion
from peerage.model import AgreementId, Epoch
from peerage.model.calendar import LocalZone
from peerage.net.client import PeerClient
from peerage.net.server import PeerServer
from peerage.net.throttle import Throttle
from peerage.net.tls import TlsIdentity
from peerage.seal.keys import KeyRing
from peerage.store.catalogue import Catalogue
from peerage.store.database import remove_journals
from peerage.store.decisions import Decisions
from peerage.store.home import Home
from peerage.store.measures import Measures
from peerage.store.objects import ObjectStore
from peerage_chain.client import Chain
from peerage_chain.errors import ChainFault, ChainUnavailable
from peerage_chain.remembered import Remembered
from peerage_chain.types import ChainTime

_SETTLED_BLOCKS = 3
"""Endpoints are compared so many blocks back: one of them may be a block or two behind."""
_WORKERS = 4
_BUSY_LOOK_S = 0.25
_COLLECT_EVERY_S = 60.0
"""The collector runs seldom by itself (daemon/main.py): what many small backups leave in cycles would wait for it."""

log = structlog.get_logger()


def log_event(event: dict[str, Any]) -> None:
    """A Report for work that nobody watches: notes and warnings go to the log."""
    if event["event"] == "warning":
        log.warning(event["message"])
    elif event["event"] == "note":
        log.info(event["message"])


class Node:
    """One node on one home. `run` returns only by cancellation, and cleans up."""

    def __init__(self, home: Home, keystore: Keystore) -> None:
        self._home = home
        self._keystore = keystore
        self._config = home.config()
        self._policies = Policies(home)
        self._decisions = Decisions(home.decisions)
        self._workers = ThreadPoolExecutor(_WORKERS, "work")
        self._joining = Joining(home, keystore)
        self._onion = Onion(keystore.onion_seed)
        self._limits = Limits(lambda: home.config().limits, LocalZone())
        self._sharing = Sharing(lambda: self._policies.current().give)
        self._told_slow: list[str] = []
        self._proven: set[tuple[AgreementId, Epoch]] = set()

    async def run(self) -> None:
        verbs = Verbs(self._home, self._policies, self._decisions, self._limits)
        owner = OwnerServer(self._home.path, verbs.table(), verbs.data_table(), verbs.stream_table())
        await owner.start()
        try:
            chain, last = await self._joining.connect()
            async with chain:
                await self._serve(chain, last, verbs)
        finally:
            await owner.stop()
            self._workers.shutdown(wait=True, cancel_futures=True)
            self._decisions.close()

    # -- start ---------------------------------------------------------------------------------------------------------

    async def _serve(self, chain: Chain, last: Remembered | None, verbs: Verbs) -> None:
        joining = self._joining
        identity = TlsIdentity(self._keystore.tls_key_pem, self._keystore.certificate_der)
        clock = Clock(chain.now, chain.params.epoch_s)
        loops = Loops(clock)
        store = ObjectStore.open(self._home.objects, self._home.object_index)
        throttle = Throttle(self._limits.up, self._limits.down)
        peers = PeerClient(
            identity, lambda: joining.roster, lambda: self._now_s(clock), chain.domain, throttle=throttle
        )
        catalogue = self._open_catalogue()
        tasks: list[asyncio.Task[None]] = [asyncio.create_task(clock.run())]
        if last is not None:
            tasks.append(asyncio.create_task(joining.confirm(chain), name="confirm"))
        server: PeerServer | None = None
        try:
            await joining.until_admitted(chain)
            provider = Provider(
                ledger=chain,
                store=store,
                policy=self._policies.current,
                decided=self._decided,
                node_key=self._keystore.node_key,
                domain=chain.domain,
                member=self._joining.member.id,
                roster=lambda: joining.roster,
                now_s=lambda: self._now_s(clock),
            )
            if last is not None:
                provider.remember(last.time, last.provided)
            host, _, port = self._config.listen.rpartition(":")
            server = PeerServer(
                provider,
                identity,
                self._joining.member.id,
                lambda: joining.roster,
                lambda: self._now_s(clock),
                throttle=throttle.beside(self._sharing.up, self._sharing.down),
            )
            try:
                bound = await server.start(host.strip("[]"), int(port))
            except OSError as error:
                raise LocalFault(
                    f"cannot listen on {self._config.listen} ({error.strerror}): choose another"
                ) from error
            endpoint = self._config.endpoint or f"https://{host}:{bound}"
            await joining.until_enrolled(chain, endpoint)
            context = NodeContext(
                member=self._joining.member.id,
                node_key=self._keystore.node_key,
                domain=chain.domain,
                catalogue=catalogue,
                ledger=chain,
                peers=peers,
                ring=KeyRing(self._keystore.repository_keys),
                wrapped_keys=dict(self._keystore.wrapped_keys),
                policy=self._policies.current,
                decided=self._decided,
                workers=self._workers,
                entropy=os.urandom,
                clock_ns=time.time_ns,
            )
            scheduler = Scheduler(
                lambda: self._home.config().schedule,
                verbs.table(),
                catalogue,
                LocalZone(),
                seed=joining.node,
                report=log_event,
            )
            measures = Measures(self._home)
            prober = Prober(context, self._onion, measures, self._limited, lambda: verbs.busy)
            settling = Settling(chain, self._joining.member.id, catalogue, log_event)
            appeals = Appeals(chain, self._joining.member.id, catalogue, log_event)
            scrubber = Scrubber(
                store, self._home.scrub, lambda: self._policies.current().give.scrub_kib_s, self._in_worker, log_event
            )
            log.info("node is up", member=self._joining.member.id, node=joining.node, endpoint=endpoint)
            for name, step in (
                (
                    "ready",
                    self._until_whole(context, last, verbs, lambda: verbs.ready(context, clock, scheduler, measures)),
                ),
                ("roster", loops.each_block(lambda _: joining.refresh(chain))),
                ("revoked", self._until_revoked(clock)),
                ("enrolled", loops.each_epoch(lambda _: joining.stay_enrolled(chain, endpoint))),
                ("beat", loops.until_done(lambda time: self._beat(chain, prober, time))),
                ("policy", loops.each_block(lambda _: self._policies.reload(context))),
                ("offer", loops.each_block(lambda _: self._offer(chain))),
                # Four looks an epoch are enough: challenges are fixed before it begins.
                ("prove", loops.each_block(lambda t: self._prove(chain, provider, t), looks=4)),
                ("demands", loops.each_epoch(lambda _: self._answer(chain, provider))),
                ("scrub", scrubber.run()),
                ("damage", loops.each_epoch(lambda time: self._report(chain, store, time))),
                ("settle", loops.each_epoch(settling.step)),
                ("appeal", loops.each_epoch(lambda time: appeals.step(time, clock.away))),
                ("watch", loops.each_epoch(lambda _: self._watch(context, verbs))),
                ("probe", loops.until_done(lambda time: prober.probe(time, log_event))),
                ("report", loops.until_done(lambda time: prober.send(time, log_event))),
                ("read", loops.each_block(lambda _: self._note_read(context, peers))),
                ("quality", loops.each_epoch(lambda _: self._rank(context, measures, peers))),
                ("endpoints", loops.each_epoch(lambda time: self._compare(chain, time))),
                ("schedule", scheduler.run()),
                ("collect", self._collect(lambda: verbs.busy)),
                ("clean", loops.each_epoch(lambda time: self._clean(chain, store, provider, time))),
                ("remember", self._remember(chain, provider, catalogue, clock)),
            ):
                tasks.append(asyncio.create_task(step, name=name))
            await asyncio.gather(*tasks)
        finally:
            verbs.closing()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if server is not None:
                await server.close()
            await peers.close()
            catalogue.close()
            store.close()

    def _open_catalogue(self) -> Catalogue:
        """A catalogue that cannot be read is put aside: the peers have all that it knows."""
        path = self._home.catalogue
        try:
            return Catalogue(path)
        except LocalFault as error:
            aside = path.with_suffix(f".damaged-{time.time_ns()}")
            log.error("the catalogue is damaged: making it anew from the peers", reason=str(error), kept_as=str(aside))
            remove_journals(path)
            path.rename(aside)
            return Catalogue(path)

    async def _until_whole(
        self, context: NodeContext, last: Remembered | None, verbs: Verbs, ready: Callable[[], None]
    ) -> None:
        """Serve the owner once the catalogue is there: with an empty one, a backup would forget all before it."""
        while True:
            try:
                if await is_lost(context):
                    log.warning("the catalogue is empty: making it anew from the peers")
                    async with verbs.exclusive("a rebuild"):
                        result = await rebuild_catalogue(context, log_event)
                    log.info("the catalogue is whole again", head=result.head, snapshots=result.snapshots)
                return ready()
            except (PeerageError, ChainFault) as error:
                if isinstance(error, ChainUnavailable) and last is not None and not last.head:
                    ready()  # there was nothing to lose; it is looked at again when the chain is back
                else:
                    log.warning("the catalogue cannot be made anew yet", reason=str(error))
            await asyncio.sleep(CONNECT_EVERY_S)

    # -- loops ---------------------------------------------------------------------------------------------------------

    async def _until_revoked(self, clock: Clock) -> None:
        """End the node once its key is revoked: it can do nothing for its member any more."""
        block = 0
        while not self._joining.is_revoked:
            block = (await clock.block(block)).block + 1
        raise UserError(
            "this node's key was revoked: its member was recovered on another machine, or its account said so; "
            "recover it here from the words, or run the other one"
        )

    async def _beat(self, chain: Chain, prober: Prober, now: ChainTime) -> bool:
        """Beat as early in each epoch as can be; while the window is open, try again. Then report at once what was
        measured: an epoch's half may be short."""
        if await beat(chain, self._joining.member.id, self._onion, now):
            await prober.send(now, log_event)
            return True
        return not now.beats_open

    async def _answer(self, chain: Chain, provider: Provider) -> None:
        await answer_demands(chain, self._joining.member.id, provider, self._in_worker, log_event)

    async def _prove(self, chain: Chain, provider: Provider, now: ChainTime) -> None:
        self._proven = {(a, e) for a, e in self._proven if e == now.epoch}
        await prove(chain, self._joining.member.id, provider, now.epoch, self._proven, self._in_worker, log_event)

    async def _report(self, chain: Chain, store: ObjectStore, now: ChainTime) -> None:
        await report_damage(chain, self._joining.member.id, store, now.epoch, self._in_worker, log_event)

    async def _offer(self, chain: Chain) -> None:
        wanted = offer_of(self._policies.current())
        ours = self._joining.member
        if ours.status.promises and ours.offer != wanted:
            await chain.publish_offer(wanted)
            await self._joining.refresh(chain)
            log.info("offer published", capacity=wanted.capacity, price=wanted.price_per_gib_epoch)

    async def _clean(self, chain: Chain, store: ObjectStore, provider: Provider, now: ChainTime) -> None:
        infos = await provider.refresh()
        slow = below_promise(self._policies.current().give, infos, self._joining.member.id)
        for message in slow:
            if message not in self._told_slow:
                log.warning(message)
        self._told_slow = slow
        await record_again(chain, store.revisions.all_of, infos, now.epoch, log_event)

    async def _remember(self, chain: Chain, provider: Provider, catalogue: Catalogue, clock: Clock) -> None:
        """Keep what a start without the chain needs; written when it has changed, and once an epoch for the clock."""
        written: object = None
        while True:
            await asyncio.sleep(1)
            newest = catalogue.newest_head()
            known, head = provider.known(), newest[0] if newest else 0
            if clock.time is None:
                continue
            state = (clock.time.epoch, self._joining.roster, known, bool(head))
            if state == written:
                continue
            written = state
            try:
                await self._in_worker(self._joining.remember, chain, clock.time, known, head)
            except LocalFault as error:
                log.warning("what was seen of the chain cannot be kept", reason=str(error))

    def _limited(self) -> bool:
        return self._limits.up() is not None or self._limits.down() is not None

    async def _note_read(self, context: NodeContext, peers: PeerClient) -> None:
        if read := peers.take_read():
            await context.in_worker(note_read, context.catalogue, read)

    async def _rank(self, context: NodeContext, measures: Measures, peers: PeerClient) -> None:
        measures.saw(peers.take_moved())
        await refresh_quality(context, measures)
        await refresh_promised(context, self._joining.roster)

    async def _compare(self, chain: Chain, now: ChainTime) -> None:
        """Say so when the endpoints do not show the same chain: each alone could make us believe anything."""
        if len(self._config.rpc) < 2 or now.block <= _SETTLED_BLOCKS:
            return
        hashes = await chain.compare_endpoints(now.block - _SETTLED_BLOCKS)
        if len(set(hashes.values())) > 1:
            shown = {url: hash.hex()[:16] for url, hash in hashes.items()}
            log.error("the chain's endpoints show different chains: ask who runs them", block=now.block, **shown)

    async def _watch(self, context: NodeContext, verbs: Verbs) -> None:
        ours = await watch(context)
        await open_again(context, ours, log_event)
        if verbs.busy:  # a backup publishes by itself, and its stripes are not to be judged half-way
            return
        await carry_out_removals(context, log_event)
        await renew(context, log_event)
        await repair(context, log_event)
        await demand_unserved(context, ours, log_event)
        await look_for_anchor(context, log_event)
        waiting = await record(context, log_event)
        if waiting:
            log.info("records wait for the chain", count=len(waiting))

    @staticmethod
    async def _collect(busy: Callable[[], bool]) -> None:
        pause_s = _COLLECT_EVERY_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = _BUSY_LOOK_S if busy() else _COLLECT_EVERY_S  # a backup every minute must not put it off for ever
            if not busy():
                gc.collect()

    # -- small things --------------------------------------------------------------------------------------------------

    async def _in_worker(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._workers, function, *arguments)

    @staticmethod
    def _now_s(clock: Clock) -> int:
        """The chain's time for judging expiries; our own only until the chain was read once."""
        return clock.time.timestamp_s if clock.time is not None else int(time.time())

    def _decided(self, decision: Decision) -> None:
        if self._decisions.add(decision, time.time_ns()):
            log.info("decided", **asdict(decision))
