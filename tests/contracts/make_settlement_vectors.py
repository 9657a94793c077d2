"""Writes tests/vectors/settlement.json: what thousands of random settlements come to, by `peerage_chain.judge`.

A case is made from its number alone, the same way here and in Settlement.t.sol; the file has a digest of each outcome.
    python tests/contracts/make_settlement_vectors.py
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from peerage_chain.judge import Book, Facts, Outcome, Prices, Rules, Verdict, pay_of
from peerage_chain.types import AgreementState, Epoch

CASES = 3000
WORD = 7
TARGET = Path(__file__).parents[1] / "vectors" / "settlement.json"


def draw(case: int, index: int) -> int:
    return int.from_bytes(keccak(encode(["uint256", "uint256"], [case, index])), "big")


@dataclass
class Case:
    """The inputs of one settlement of some epochs of a word, in two runs of leaves."""

    number: int
    prices: Prices = field(init=False)
    rules: Rules = field(init=False)

    def __post_init__(self) -> None:
        r = [draw(self.number, i) for i in range(36)]
        self.draws = r
        self.prices = Prices(
            price_per_gib_epoch=(r[0] % 2**36) >> (r[35] % 32),
            egress_price_per_gib=r[1] % 2**36,
            collateral=r[2] % 2**40,
            pay_percent=r[3] % 101,
        )
        window = 1 + r[4] % 64
        self.rules = Rules(window_epochs=window, fail_at=1 + r[5] % window, repair_epochs=1 + r[6] % 64)
        self.proven = r[15] | r[16] | r[25]
        self.impaired = r[17] & r[18] & r[19]
        self.valid = r[20] | r[21] | r[22]
        self.followed = r[23] | r[24]
        self.maintenance = r[26] & r[27]
        self.short = r[28] & r[29]
        self.first = r[30] % 256
        self.end = self.first + r[31] % (257 - self.first)
        self.middle = self.first + r[32] % (self.end - self.first + 1)
        self.leaves = (1 + r[33] % 2**22, 1 + r[34] % 2**22)

    def facts(self, bit: int) -> Facts:
        def has(word: int) -> bool:
            return bool(word >> bit & 1)

        return Facts(
            leaves=self.leaves[bit >= self.middle],
            proven=has(self.proven),
            valid=has(self.valid),
            followed=has(self.followed),
            maintenance=has(self.maintenance),
            impaired=has(self.impaired),
            short=has(self.short),
        )


@dataclass
class Money:
    """What a settlement moves besides the book."""

    escrow: int
    client: int
    paid: int = 0
    funded: int = 0
    burned: int = 0
    contested: tuple[int, int] = (0, 0)
    state: AgreementState = AgreementState.ACTIVE
    stuck: bool = False

    def pay(self, due: int, grace_over: bool) -> bool:
        """Whether the epoch is settled by it."""
        moved = max(0, min(self.client, due - self.escrow))
        self.escrow, self.client, self.funded = self.escrow + moved, self.client - moved, self.funded + moved
        if self.escrow < due:
            if not grace_over:
                self.stuck = True
                return False
            due, self.state = self.escrow, AgreementState.LAPSED
        self.escrow -= due
        self.paid += due
        return True

    def penalty(self, verdict: Verdict) -> None:
        if verdict.contested:
            to_client, burned = self.contested
            self.contested = to_client + verdict.to_client, burned + verdict.burned
        else:
            self.client += verdict.to_client
            self.burned += verdict.burned
        if verdict.failed:
            self.state = AgreementState.FAILED


def outcome(case: Case) -> bytes:
    """Settles a case one epoch after the other."""
    r = case.draws
    book = Book(
        collateral=r[10] % (case.prices.collateral + 1),
        compensated=r[13] % 2**34,
        deferred=r[9] % 2**30,
        window=[bool(r[11] & r[12] >> 3 & (1 << bit)) for bit in reversed(range(64))],
    )
    money = Money(escrow=r[7] % 2**40, client=r[8] % 2**40)
    verdicts: list[Verdict] = []
    bit = case.first
    while bit < case.end and money.state is AgreementState.ACTIVE:
        facts = case.facts(bit)
        before = replace(book, window=list(book.window))
        verdict = book.judge(Epoch(WORD * 256 + bit), facts, case.prices, case.rules)
        if verdict.outcome is Outcome.KEPT:
            assert verdict.paid == pay_of(facts, case.prices) + before.deferred
            if not money.pay(verdict.paid, grace_over=bool(r[14] & 1)):
                book = before
                break
        elif verdict.outcome is Outcome.MISSED:
            money.penalty(verdict)
        verdicts.append(verdict)
        bit += 1

    def count(*outcomes: Outcome) -> int:
        return sum(v.outcome in outcomes for v in verdicts)

    values = [
        WORD * 256 + bit,
        int(money.state),
        int(money.stuck),
        money.escrow,
        book.deferred,
        book.collateral,
        sum(missed << age for age, missed in enumerate(reversed(book.window))),
        book.compensated,
        book.burned,
        money.client,
        money.paid,
        money.funded,
        money.burned,
        *money.contested,
        count(Outcome.KEPT, Outcome.IMPAIRED),
        count(Outcome.MISSED),
        count(Outcome.VOID),
        count(Outcome.EXCUSED),
    ]
    return keccak(encode(["uint256"] * len(values), values))


def document() -> str:
    digests = ["0x" + outcome(Case(number)).hex() for number in range(CASES)]
    return json.dumps({"digests": digests}, indent=0) + "\n"


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
