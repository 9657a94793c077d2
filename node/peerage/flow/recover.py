"""The worst day: from the words and one chain endpoint to everything back, on an empty machine.

The chain names the member, its agreements and its providers; the account enrols a new node key and revokes the old
ones; the providers have the head; the head has the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from peerage.deal.policy import Policy
from peerage.errors import IntegrityError, PeerError, PeerUnavailable, UnknownVersion, UserError
from peerage.flow import enrol
from peerage.flow.context import NodeContext, Report, note, warn
from peerage.flow.fetch import Fetcher
from peerage.flow.objects import sync_objects
from peerage.flow.restore import RestoreResult, restore
from peerage.keys import words as mnemonic
from peerage.keys.onion import Onion
from peerage.model import BlobKind, MemberId, PackRecord, ShardRoot
from peerage.net.client import PeerClient
from peerage.net.tls import TlsIdentity
from peerage.pack.reader import BlobOpener, read_directory
from peerage.ports import Peers
from peerage.seal.keys import KeyRing, unwrap_all
from peerage.snapshot.head import Head, open_head, peek_head
from peerage.snapshot.index import decode_segment
from peerage.snapshot.snapshot import encode_summary
from peerage.store.catalogue import Catalogue
from peerage_chain import typed
from peerage_chain.client import Chain
from peerage_chain.errors import ChainFault, NotAMember
from peerage_chain.types import AgreementInfo, MemberInfo

HEADS_WAIT_S = 90.0
"""So long we keep asking for a head, should every provider be away at first."""
KNOWN_WAIT_S = 20.0
"""A provider looks at the chain every few seconds, so after this long one that still refuses us is not coming."""
_ASK_AGAIN_S = 0.5


RingOf = Callable[[Mapping[int, bytes]], KeyRing]
"""Repository keys from those that a head carries, wrapped: generation -> wrapped key. Raises IntegrityError."""


def by_words(words: Sequence[str]) -> RingOf:
    """The words alone open them."""
    return lambda wrapped: unwrap_all(wrapped, mnemonic.wrap_key(words))


@dataclass(slots=True)
class RecoverResult:
    """What a recovery did, as --json shows it."""

    member: int
    head: int
    anchor: int
    snapshots: int
    restore: RestoreResult


@dataclass(frozen=True, slots=True)
class Found:
    """A head that opens: its bytes without padding, what it says, and the keys that came with it."""

    body: bytes
    head: Head
    ring: KeyRing
    wrapped_keys: dict[int, bytes]


async def recover(
    words: Sequence[str],
    network: enrol.Network,
    *,
    home: Path,
    passphrase: str,
    settings: enrol.NodeSettings,
    target: Path,
    wanted: str,
    include: Sequence[bytes],
    workers: Executor,
    entropy: Callable[[int], bytes],
    clock_ns: Callable[[], int],
    report: Report,
) -> RecoverResult:
    """Make a new home from the words, rebuild the catalogue from the peers, and restore `wanted` under `target`.

    `network` was checked against the sheet by whoever looked it up. Raises NotAMember when the words' account is not
    on this chain (which also uncovers words that were repaired wrongly), UserError, PeerUnavailable, IntegrityError.
    Until the home is written nothing depends on this run: it can simply be started again.
    """
    account, _ = mnemonic.account_of(words)
    async with await Chain.connect(network.rpc, network.directory, network.chain_id, network.genesis) as chain:
        info = await chain.member_by_account(account)
        if info is None:
            raise NotAMember(f"the account of these words, {account}, is no member here: check the words and the chain")
        now = await chain.now()
    identity = enrol.new_identity(
        words, network, now_s=now.timestamp_s, entropy=entropy, repository_keys={}, wrapped_keys={}, exclusive=True
    )
    keystore = identity.keystore
    async with await Chain.connect(
        network.rpc, network.directory, network.chain_id, network.genesis, keystore.node_key
    ) as ledger:
        agreements = [a for a in await ledger.agreements_of(info.id) if a.terms.client == info.id]
        anchor = await ledger.anchor_of(info.id, 0)
        if not agreements or not anchor.number:
            raise UserError(f"member {info.id} has never backed anything up on this chain: there is nothing to recover")
        note(report, f"member {info.id}: enrolling a new node key and revoking the old ones")
        endpoint = settings.endpoint or f"https://{settings.listen}"
        await ledger.enrol(
            identity.enrolment.enrolment,
            keystore.certificate_der,
            endpoint,
            settings.site,
            identity.enrolment.signature,
        )
        members = tuple(await ledger.roster())
        member = next(m for m in members if m.id == info.id)
        tls = TlsIdentity(keystore.tls_key_pem, keystore.certificate_der)
        peers = PeerClient(tls, lambda: members, lambda: now.timestamp_s, ledger.domain)
        try:
            await until_known(peers, agreements, report)
            found = await find_head(
                peers, agreements, member, ledger.domain, anchor.number, anchor.head, by_words(words), report
            )
            keystore = replace(
                keystore,
                repository_keys={g: found.ring[g].raw for g in found.ring},
                wrapped_keys=found.wrapped_keys,
            )
            written = enrol.write_home(home, replace(identity, keystore=keystore), settings, passphrase)
            catalogue = Catalogue(written.path / "catalogue.sqlite")
            context = NodeContext(
                member=info.id,
                node_key=keystore.node_key,
                domain=ledger.domain,
                catalogue=catalogue,
                ledger=ledger,
                peers=peers,
                ring=found.ring,
                wrapped_keys=found.wrapped_keys,
                policy=Policy,
                workers=workers,
                entropy=entropy,
                clock_ns=clock_ns,
            )
            try:
                await rebuild(context, found, agreements, anchor.number, report)
                result = await restore(context, wanted, target, include, report)
                await _commit(ledger, keystore.onion_seed, report)
            finally:
                catalogue.close()
        finally:
            await peers.close()
    return RecoverResult(
        member=info.id,
        head=found.head.number,
        anchor=anchor.number,
        snapshots=len(found.head.snapshots),
        restore=result,
    )


async def until_known(peers: Peers, agreements: Sequence[AgreementInfo], report: Report) -> None:
    """Wait until every provider that is there knows the new node key, which each learns from the chain in its own time.

    Else one that is a moment late would count as lost, and with it shards that are needed. Bounded: KNOWN_WAIT_S.
    """
    waiting = {a.terms.provider for a in agreements}
    deadline = asyncio.get_running_loop().time() + KNOWN_WAIT_S
    told = False
    while waiting:
        asked = sorted(waiting)
        answers = await asyncio.gather(*(peers.list_heads(p, 0) for p in asked), return_exceptions=True)
        for provider, answer in zip(asked, answers, strict=True):
            if not isinstance(answer, BaseException) or (isinstance(answer, PeerUnavailable) and answer.silent):
                waiting.discard(provider)
            elif not isinstance(answer, PeerError):
                raise answer
        if waiting and asyncio.get_running_loop().time() > deadline:
            warn(report, f"members {', '.join(map(str, sorted(waiting)))} do not answer: going on without them")
            return
        if waiting and not told:
            note(report, "waiting until the providers know the new node key")
            told = True
        await asyncio.sleep(_ASK_AGAIN_S if waiting else 0)


async def find_head(
    peers: Peers,
    agreements: Sequence[AgreementInfo],
    member: MemberInfo,
    domain: typed.Domain,
    anchored: int,
    anchor_hash: bytes,
    ring_of: RingOf,
    report: Report,
) -> Found:
    """Ask every provider; take the highest validly signed head that is at least the anchor's.

    A head of the anchored number must have the anchored hash. Raises PeerUnavailable when no provider has one.
    """
    providers = sorted({a.terms.provider for a in agreements})
    deadline = asyncio.get_running_loop().time() + HEADS_WAIT_S
    waited = False
    while True:
        answers = await asyncio.gather(*(peers.list_heads(p, 0) for p in providers), return_exceptions=True)
        listed: dict[tuple[int, ShardRoot], list[tuple[MemberId, int]]] = {}
        for provider, answer in zip(providers, answers, strict=True):
            if isinstance(answer, PeerError):
                continue
            if isinstance(answer, BaseException):
                raise answer
            for number, root, length in answer:
                listed.setdefault((number, root), []).append((provider, length))
        reasons: list[str] = []
        for (number, root), holders in sorted(listed.items(), key=lambda item: item[0][0], reverse=True):
            if number < anchored:
                break
            for provider, length in holders:
                try:
                    body = await peers.get_object(provider, root, 0, length)
                    return _checked_head(body, member, domain, anchored, anchor_hash, ring_of)
                except UnknownVersion:
                    raise
                except (PeerError, IntegrityError) as error:
                    reasons.append(f"head {number} at member {provider}: {error}")
        if asyncio.get_running_loop().time() > deadline:
            detail = "; ".join(reasons[:3]) or f"none of {len(providers)} providers answered with head {anchored}"
            raise PeerUnavailable(f"no head could be had ({detail}): try again when more members are up")
        if not waited:
            note(report, "waiting for a provider that has the head")
            waited = True
        await asyncio.sleep(_ASK_AGAIN_S)


def _checked_head(
    data: bytes,
    member: MemberInfo,
    domain: typed.Domain,
    anchored: int,
    anchor_hash: bytes,
    ring_of: RingOf,
) -> Found:
    header = peek_head(data)
    body = bytes(data[: header.length])
    if header.member != member.id or header.repository != 0:
        raise IntegrityError("it belongs to another member or repository")
    if header.number < anchored:
        raise IntegrityError(f"it is head {header.number}, older than the anchored one")
    if header.number == anchored and sha256(body).digest() != anchor_hash:
        raise IntegrityError("it is not the head that the chain anchors")
    digest = typed.head_digest(member.id, header.repository, header.number, header.digest, domain)
    signer = typed.recover(digest, header.signature)
    if signer not in {n.key for n in member.nodes}:
        raise IntegrityError("it is not signed by a node key of this member")
    ring = ring_of(header.wrapped_keys)
    return Found(body, open_head(body, ring), ring, dict(header.wrapped_keys))


async def rebuild(
    context: NodeContext, found: Found, agreements: Sequence[AgreementInfo], anchored: int, report: Report
) -> None:
    """Fill an empty catalogue from a head and the peers. anchored: the number of the head that the chain anchors."""
    catalogue, head = context.catalogue, found.head
    fetcher = Fetcher(context)
    opener = BlobOpener(context.ring)
    for no, pack in enumerate(head.index_packs):
        data = await fetcher.whole(pack)
        records = await context.in_worker(_read_index, context.ring, opener, pack, data)
        await context.in_worker(catalogue.add_packs, [pack, *records], True)
        report({"event": "progress", "phase": "index", "files": no + 1, "files_total": len(head.index_packs)})
    for summary in head.snapshots:
        catalogue.add_snapshot(summary.id, encode_summary(summary))
    catalogue.add_head(head.number, sha256(found.body).digest(), found.body)
    if head.number <= anchored:
        catalogue.mark_anchored(head.number)
    catalogue.set_counter("head", head.number)
    await asyncio.gather(*(_adopt(context, a, report) for a in agreements))


def _read_index(ring: KeyRing, opener: BlobOpener, pack: PackRecord, data: bytearray) -> list[PackRecord]:
    """The pack records in an index pack, in the order they were written."""
    generation, id, _, entries = read_directory(ring, memoryview(data)[: pack.length])
    if id != pack.id:
        raise IntegrityError("an index pack is not the one that the head names")
    records: list[PackRecord] = []
    for entry in entries:
        if entry.kind is BlobKind.INDEX:
            sealed = memoryview(data)[entry.offset : entry.offset + entry.length]
            records.extend(decode_segment(opener.open(generation, id, entry, sealed)))
    return records


async def _adopt(context: NodeContext, info: AgreementInfo, report: Report) -> None:
    terms = info.terms
    context.catalogue.set_agreement(
        info.id, terms.provider, terms.capacity, terms.end_epoch, info.is_live, info.sequence, info.revision
    )
    try:
        await sync_objects(context, info)
    except (PeerError, IntegrityError) as error:
        warn(report, f"member {terms.provider} does not say what it keeps yet: {error}")


async def _commit(ledger: Chain, onion_seed: bytes, report: Report) -> None:
    try:
        await ledger.commit_tip(Onion(onion_seed).tip)
    except ChainFault as error:
        warn(report, f"the new hash onion is not committed yet ({error}): `peerage up` will do it")


__all__ = ["RecoverResult", "by_words", "find_head", "rebuild", "recover"]
