"""What `peerage audit` prints: the chain's record, and whether it follows from the evidence on the chain. Needs no key.

Events are read in bulk up to one block and every verdict, seed, challenge and amount derived from them anew; the
contracts' own answers, read at that same block, are then compared. `verified` is false in every row of which something
does not follow. Amounts are decimal strings of credits; ids are 0x and hexadecimal digits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypedDict

from peerage_chain.evidence import Evidence, read_evidence
from peerage_chain.history import AgreementPast
from peerage_chain.judge import Outcome, Verdict
from peerage_chain.reads import ChainReads
from peerage_chain.types import CREDIT, MemberInfo


class NodeRow(TypedDict):
    """One node key of a member."""

    key: str
    endpoint: str
    site: str
    certificate_sha256: str
    expires_at: int
    live: bool


class MemberRow(TypedDict):
    """One member. balance: free credits; verified: it is the sum of all movements on record."""

    member: int
    name: str
    account: str
    status: str
    jurisdiction: str
    legal_entity: str
    offered_bytes: int
    promised_bytes: int
    price_per_gib_epoch: str
    nodes: list[NodeRow]
    balance: str
    verified: bool


class MissRow(TypedDict):
    """One missed epoch of one agreement. in_window: misses in the rolling window, this one included. settled: a
    settlement has covered it, so the amounts have moved; before that they are what settling would do."""

    agreement: str
    client: int
    provider: int
    epoch: int
    reason: str
    in_window: int
    settled: bool
    to_client: str
    burned: str


class RemovalRow(TypedDict):
    """Data that the client has announced to remove. ready: the first epoch in which it may go."""

    objects: str
    leaves: int
    ready: int


class AgreementRow(TypedDict):
    """One agreement with its proofs in the asked range of epochs. due: epochs with leaves in which the provider was to
    prove and beat; made: it did; void: epochs that judge nobody. paid, to_client, burned: settled in the range."""

    agreement: str
    client: int
    provider: int
    state: str
    opened_epoch: int
    start_epoch: int
    end_epoch: int
    capacity_bytes: int
    price_per_gib_epoch: str
    sequence: int
    leaves: int
    root: str
    revised_epoch: int
    settled_through: int
    escrow: str
    collateral: str
    collateral_left: str
    proofs_due: int
    proofs_made: int
    proofs_missed: int
    void_epochs: int
    paid: str
    to_client: str
    burned: str
    misses: list[MissRow]
    removal: RemovalRow | None
    verified: bool


class QosRow(TypedDict):
    """One member's conduct in the asked range. Proofs, misses and penalties are those it owed as provider; earned is
    what it was paid as provider, spent what it paid as client, compensated what it got from providers' collateral."""

    member: int
    name: str
    beats_made: int
    beats_missed: int
    beats_missed_epochs: list[int]
    proofs_due: int
    proofs_made: int
    proofs_missed: int
    settled_misses: int
    penalties_to_client: str
    penalties_burned: str
    earned: str
    spent: str
    compensated: str
    balance: str
    misses: list[MissRow]
    verified: bool


class QosReport(TypedDict):
    """The whole report. from_epoch, to_epoch: the epochs covered, all closed; block: the block that it is about."""

    block: int
    from_epoch: int
    to_epoch: int
    void_epochs: list[int]
    members: list[QosRow]
    verified: bool


async def audit_members(chain: ChainReads) -> list[MemberRow]:
    """Every member, with its nodes, offer and balance."""
    evidence = await read_evidence(chain)
    promised = await chain.contracts.read_many(
        [("Agreements", "promised", (m.id,)) for m in evidence.members], evidence.now.block
    )
    return [_member_row(evidence, member, taken) for member, taken in zip(evidence.members, promised, strict=True)]


async def audit_agreements(
    chain: ChainReads, member: int | None = None, from_epoch: int | None = None, to_epoch: int | None = None
) -> list[AgreementRow]:
    """Every agreement (of one member, if given), oldest first, with its proofs in the given epochs."""
    evidence = await read_evidence(chain, from_epoch, to_epoch)
    return [_agreement_row(evidence, past) for past in evidence.parties(member)]


async def audit_qos(
    chain: ChainReads, member: int | None = None, from_epoch: int | None = None, to_epoch: int | None = None
) -> QosReport:
    """Every member's conduct (or one's) in the given epochs; all closed epochs by default."""
    evidence = await read_evidence(chain, from_epoch, to_epoch)
    rows = [_qos_row(evidence, m) for m in evidence.members if member is None or m.id == member]
    first = min(evidence.history.active_from, default=evidence.last + 1)
    return QosReport(
        block=evidence.now.block,
        from_epoch=evidence.first,
        to_epoch=evidence.last,
        void_epochs=[e for e in evidence.epochs if e >= first and not evidence.history.valid(e)],
        members=rows,
        verified=all(row["verified"] for row in rows) and not evidence.false_epochs,
    )


# --- rows ---


def _member_row(evidence: Evidence, member: MemberInfo, promised: int) -> MemberRow:
    live = {node.key for node in member.live_nodes(evidence.now.timestamp_s)}
    return MemberRow(
        member=member.id,
        name=member.name,
        account=member.account,
        status=member.status.name.lower(),
        jurisdiction=member.jurisdiction,
        legal_entity=_hex(member.legal_entity),
        offered_bytes=member.offer.capacity,
        promised_bytes=promised,
        price_per_gib_epoch=credits_text(member.offer.price_per_gib_epoch),
        nodes=[
            NodeRow(
                key=node.key,
                endpoint=node.endpoint,
                site=node.site,
                certificate_sha256=_hex(hashlib.sha256(node.certificate).digest()),
                expires_at=node.expires_at,
                live=node.key in live,
            )
            for node in member.nodes
        ],
        balance=credits_text(evidence.balances[member.id]),
        verified=evidence.balances[member.id] == evidence.history.accounts.get(member.id, 0),
    )


def _misses(past: AgreementPast, verdicts: Iterable[Verdict]) -> list[MissRow]:
    return [
        MissRow(
            agreement=_hex(past.id),
            client=past.terms.client,
            provider=past.terms.provider,
            epoch=v.epoch,
            reason=v.reason,
            in_window=v.in_window,
            settled=v.settled,
            to_client=credits_text(v.to_client),
            burned=credits_text(v.burned),
        )
        for v in verdicts
        if v.outcome is Outcome.MISSED
    ]


def _agreement_row(evidence: Evidence, past: AgreementPast) -> AgreementRow:
    verdicts, view = evidence.within(past.id), evidence.agreements[past.id]
    settled = [v for v in verdicts if v.settled]
    made = _count(verdicts, Outcome.KEPT, Outcome.IMPAIRED)
    missed = _count(verdicts, Outcome.MISSED)
    return AgreementRow(
        agreement=_hex(past.id),
        client=past.terms.client,
        provider=past.terms.provider,
        state=view.state.name.lower(),
        opened_epoch=past.opened_epoch,
        start_epoch=past.deal.start_epoch,
        end_epoch=past.deal.end_epoch,
        capacity_bytes=past.deal.capacity,
        price_per_gib_epoch=credits_text(past.deal.price_per_gib_epoch),
        sequence=view.sequence,
        leaves=view.leaves,
        root=_hex(view.root),
        revised_epoch=view.revised_epoch,
        settled_through=view.settled_through,
        escrow=credits_text(view.escrow),
        collateral=credits_text(past.deal.collateral),
        collateral_left=credits_text(view.collateral),
        proofs_due=made + missed,
        proofs_made=made,
        proofs_missed=missed,
        void_epochs=_count(verdicts, Outcome.VOID),
        paid=credits_text(sum(v.paid for v in settled)),
        to_client=credits_text(sum(v.to_client for v in settled)),
        burned=credits_text(sum(v.burned for v in settled)),
        misses=_misses(past, verdicts),
        removal=RemovalRow(objects=_hex(past.removal.objects), leaves=past.removal.leaves, ready=past.removal.ready)
        if past.removal
        else None,
        verified=past.id not in evidence.false_agreements,
    )


def _qos_row(evidence: Evidence, member: MemberInfo) -> QosRow:
    history = evidence.history
    mine = [(past, evidence.within(past.id)) for past in evidence.parties(member.id)]
    owed = [(past, part) for past, part in mine if past.terms.provider == member.id]
    bought = [part for past, part in mine if past.terms.client == member.id]
    verdicts = [v for _, part in owed for v in part]
    settled = [v for v in verdicts if v.settled]
    spent = [v for part in bought for v in part if v.settled]
    silent = [e for e in evidence.epochs if history.is_counted(member.id, e) and not history.has_beat(member.id, e)]
    made, missed = _count(verdicts, Outcome.KEPT, Outcome.IMPAIRED), _count(verdicts, Outcome.MISSED)
    return QosRow(
        member=member.id,
        name=member.name,
        beats_made=sum(history.has_beat(member.id, e) for e in evidence.epochs),
        beats_missed=len(silent),
        beats_missed_epochs=silent,
        proofs_due=made + missed,
        proofs_made=made,
        proofs_missed=missed,
        settled_misses=_count(settled, Outcome.MISSED),
        penalties_to_client=credits_text(sum(v.to_client for v in settled)),
        penalties_burned=credits_text(sum(v.burned for v in settled)),
        earned=credits_text(sum(v.paid for v in settled)),
        spent=credits_text(sum(v.paid for v in spent)),
        compensated=credits_text(sum(v.to_client for v in spent)),
        balance=credits_text(evidence.balances[member.id]),
        misses=[row for past, part in owed for row in _misses(past, part)],
        verified=evidence.balances[member.id] == history.accounts.get(member.id, 0)
        and not any(past.id in evidence.false_agreements for past, _ in owed)
        and not evidence.false_epochs,
    )


def _count(verdicts: Sequence[Verdict], *outcomes: Outcome) -> int:
    return sum(v.outcome in outcomes for v in verdicts)


def credits_text(micro: int) -> str:
    """Micro-credits as a decimal string of credits: 1500000 -> "1.500000"."""
    sign = "-" if micro < 0 else ""
    return f"{sign}{abs(micro) // CREDIT}.{abs(micro) % CREDIT:06d}"


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
