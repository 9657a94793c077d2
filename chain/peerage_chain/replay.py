"""One agreement's money, replayed act by act in the order of the chain, and compared with what the events say. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from peerage_chain.acts import Amended, Concluded, Contested, DemandPenalty, Exit, Loss, Settlement, Topped, Traffic
from peerage_chain.history import AgreementPast, History
from peerage_chain.judge import HEAVY_PERCENT, LEAF_BYTES, Book, Facts, Outcome, Prices, Verdict, cost, repair_cost
from peerage_chain.quality import Clause
from peerage_chain.types import LIVE_STATES, AgreementState, DocketState, Epoch


@dataclass
class Docket:
    """A contested penalty."""

    to_client: int
    burned: int
    appeal_until: int
    state: DocketState = DocketState.OPEN


@dataclass
class Replay:
    """What an agreement's acts come to. agrees: every amount and count that the events tell follows."""

    past: AgreementPast
    book: Book
    prices: Prices
    escrow: int = 0
    bytes_down: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    dockets: list[Docket] = field(default_factory=list)
    contested: list[tuple[int, int]] = field(default_factory=list)
    """Heavy penalties that no docket has been opened over yet."""
    settled_collateral: int = 0
    """What the settled epochs have left of the collateral; nothing once the agreement is over."""
    agrees: bool = True

    def expect(self, *pairs: tuple[object, object]) -> None:
        """Note a difference between what an event tells and what follows."""
        self.agrees = self.agrees and all(told == follows for told, follows in pairs)


def replay(history: History, past: AgreementPast, closed_before: int) -> Replay:
    """Replay an agreement's acts, then judge the epochs that are closed and not settled."""
    terms = past.terms
    clause = Clause.unpack(terms.quality_clause)
    paid_percent = 100 - clause.withheld_percent if clause else 100
    prices = Prices(terms.price_per_gib_epoch, terms.egress_price_per_gib, terms.collateral, paid_percent)
    done = Replay(past, Book(terms.collateral), prices, past.escrow_held)
    for act in past.acts:
        _ACTS[type(act)](history, done, act)
    done.expect((done.contested, []), (past.announced_misses, []))
    if past.state in LIVE_STATES:
        done.settled_collateral = done.book.collateral
        _walk(history, done, past.settled_before, min(closed_before, past.deal.end_epoch), settled=False)
    else:
        done.escrow = 0
    return done


def facts_of(history: History, past: AgreementPast, epoch: Epoch) -> Facts:
    """What the events tell about one epoch of an agreement."""
    frozen, provider = past.frozen(epoch), past.terms.provider
    clause = Clause.unpack(past.terms.quality_clause)
    return Facts(
        leaves=frozen.leaves if frozen else 0,
        proven=epoch in past.proven,
        impaired=epoch in past.impaired,
        valid=history.valid(epoch),
        followed=history.quorate(epoch + 1),
        beat=history.has_beat(provider, epoch),
        maintenance=epoch in history.maintenance[provider],
        short=clause is not None and clause.is_short(history.quality.record(provider, epoch)),
    )


def _walk(history: History, done: Replay, first: int, until: int, settled: bool) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for number in range(first, until):
        epoch = Epoch(number)
        facts = facts_of(history, done.past, epoch)
        if facts.leaves == 0:
            continue
        verdict = done.book.judge(epoch, facts, done.prices, history.rules_at(epoch))
        verdicts.append(replace(verdict, settled=settled))
        if verdict.failed:
            break
    done.verdicts += verdicts
    return verdicts


def _settlement(history: History, done: Replay, act: Settlement) -> None:
    verdicts = _walk(history, done, act.first, act.until, settled=True)
    misses = [v for v in verdicts if v.outcome is Outcome.MISSED]
    done.expect(
        ([(m.epoch, m.in_window) for m in act.misses], [(v.epoch, v.in_window) for v in misses]),
        (
            [(m.to_client, m.burned, m.contested) for m in act.misses if m.to_client or m.burned],
            [(v.to_client, v.burned, v.contested) for v in misses if v.to_client or v.burned],
        ),
        (act.proven, _count(verdicts, Outcome.KEPT, Outcome.IMPAIRED)),
        (act.missed, len(misses)),
        (act.voided, _count(verdicts, Outcome.VOID)),
        (act.excused, _count(verdicts, Outcome.EXCUSED)),
    )
    done.contested += [(v.to_client, v.burned) for v in misses if v.contested and (v.to_client or v.burned)]
    paid = sum(v.paid for v in verdicts)
    last = done.past.settlements[-1] is act
    # In an agreement that lapsed, the last payment is what was left in the escrow.
    lapsed = last and done.past.state is AgreementState.LAPSED
    done.agrees = done.agrees and (act.paid <= paid if lapsed else act.paid == paid)
    done.escrow += act.funded - act.paid


def _traffic(history: History, done: Replay, act: Traffic) -> None:
    follows = cost(act.recorded - done.bytes_down, done.prices.egress_price_per_gib)
    done.expect((act.bytes_down, act.recorded), (act.amount, follows))
    done.bytes_down = act.bytes_down
    done.book.deferred += follows


def _amended(history: History, done: Replay, act: Amended) -> None:
    done.prices = replace(
        done.prices,
        price_per_gib_epoch=act.price_per_gib_epoch,
        egress_price_per_gib=act.egress_price_per_gib,
        collateral=act.collateral,
    )


def _loss(history: History, done: Replay, act: Loss) -> None:
    half = repair_cost(act.leaves, done.prices, history.rules_at(act.epoch)) // 2
    done.expect((act.amount, done.book.compensate(half)))


def _exit(history: History, done: Replay, act: Exit) -> None:
    rules = history.rules_at(act.epoch)
    if act.by_client:
        pay = cost(act.leaves * LEAF_BYTES, done.prices.price_per_gib_epoch)
        done.expect((act.amount, pay * rules.repair_epochs))
        done.escrow -= act.from_escrow
        return
    repair = repair_cost(act.leaves, done.prices, rules)
    done.expect((act.amount, done.book.compensate(max(0, repair - done.book.compensated))))


def _demand(history: History, done: Replay, act: DemandPenalty) -> None:
    taken = done.book.penalise(HEAVY_PERCENT, act.leaves, done.prices, history.rules_at(act.epoch))
    done.expect(((act.to_client, act.burned, act.contested), (*taken, True)))
    done.contested.append(taken)


def _contested(history: History, done: Replay, act: Contested) -> None:
    done.expect(
        (act.number, len(done.dockets)),
        (act.to_client, sum(to_client for to_client, _ in done.contested)),
        (act.burned, sum(burned for _, burned in done.contested)),
        (act.appeal_until, act.epoch + history.rules_at(act.epoch).appeal_epochs),
    )
    done.contested = []
    done.dockets.append(Docket(act.to_client, act.burned, act.appeal_until))


def _concluded(history: History, done: Replay, act: Concluded) -> None:
    docket = done.dockets[act.number]
    done.expect(((act.to_client, act.burned), (docket.to_client, docket.burned)), (docket.state, DocketState.OPEN))
    # Nobody but the consortium cancels, and only what was appealed against.
    done.agrees = done.agrees and (not act.cancelled or (act.decided and act.appealed))
    docket.state = DocketState.CANCELLED if act.cancelled else DocketState.STANDS
    if act.cancelled:
        done.book.compensated -= docket.to_client
        done.book.burned -= docket.burned
        if act.live:
            done.book.collateral += docket.to_client + docket.burned


def _topped(history: History, done: Replay, act: Topped) -> None:
    done.book.collateral += act.collateral
    done.escrow += act.escrow


def _count(verdicts: list[Verdict], *outcomes: Outcome) -> int:
    return sum(v.outcome in outcomes for v in verdicts)


_ACTS: dict[type, Callable[..., None]] = {
    Settlement: _settlement,
    Traffic: _traffic,
    Amended: _amended,
    Loss: _loss,
    Exit: _exit,
    DemandPenalty: _demand,
    Contested: _contested,
    Concluded: _concluded,
    Topped: _topped,
}
