"""What a chain sustains: blocks filled on anvil with an epoch's transactions, and arithmetic: contracts/CAPACITY.md."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from gas import HARDFORKS, everyone_beats  # noqa: E402 - the lines above make it importable
from ledger import GIB, Agreement, Ledger, Member, calldata  # noqa: E402

PAGE = Path(__file__).resolve().parents[2] / "contracts" / "CAPACITY.md"
BLOCK_GAS, BLOCK_S = 30_000_000, 2
SHARE = 0.5  # of the gas: what is used every day; the rest is for bursts, repairs and growth
MEMBERS, EACH = 12, 8  # measured: so many members, and each one's agreements as client (and as provider)
SETTLED = 30  # epochs between settlements
PROBES = 5  # reports on each provider and epoch: the committee
EPOCHS = (("10 minutes", 600), ("1 hour", 3600), ("6 hours", 21_600))
REVISIONS = (900, 3600, 86_400)  # seconds between backups: the columns of the table
LEAVES = GIB >> 10


@dataclass
class Filled:
    """Blocks of one kind of transaction: gas and transactions of each, and what they were."""

    transactions: int = 0
    gas: int = 0
    blocks: list[int] = field(default_factory=list)


class Blocks:
    """Sends many transactions at once, and lets the engine fill blocks of 30 million gas with them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: list[str] = []

    def add(self, sender: str, contract: str, method: str, *arguments: Any) -> None:
        to = self._ledger.addresses[contract]
        call = {
            "from": sender,
            "to": to,
            "data": "0x" + calldata(contract, method, *arguments).hex(),
            "gasPrice": "0x0",
        }
        needed = int(self._ledger.rpc("eth_estimateGas", call), 16)
        self._waiting.append(self._ledger.rpc("eth_sendTransaction", call | {"gas": hex(needed + needed // 50)}))

    def fill(self) -> Filled:
        """Mine until none waits. Raises RuntimeError when one fails."""
        filled = Filled()
        while self._waiting:
            self._ledger.rpc("evm_mine")
            block = self._ledger.rpc("eth_getBlockByNumber", "latest", False)
            mined = set(block["transactions"])
            if not mined or int(block["gasUsed"], 16) > BLOCK_GAS:
                raise RuntimeError("a block took nothing, or too much")
            for hashed in mined:
                if self._ledger.rpc("eth_getTransactionReceipt", hashed)["status"] != "0x1":
                    raise RuntimeError("a transaction failed")
            filled.blocks.append(len(mined))
            filled.transactions += len(mined)
            filled.gas += int(block["gasUsed"], 16)
            self._waiting = [hashed for hashed in self._waiting if hashed not in mined]
        return filled


def measure(hardfork: str) -> dict[str, Filled]:
    """Every transaction of one epoch of a network, in blocks as full as the engine makes them."""
    with Ledger(hardfork) as ledger:
        members = [Member(ledger, id) for id in range(1, MEMBERS + 1)]
        ledger.to_epoch(2)
        everyone_beats(ledger, members)
        held: dict[int, list[Agreement]] = defaultdict(list)
        for n, client in enumerate(members):
            for step in range(1, EACH + 1):
                provider = members[(n + step) % MEMBERS]
                held[provider.id].append(Agreement(ledger, client, provider, 100 * n + step))
        every = [agreement for agreements in held.values() for agreement in agreements]
        for agreement in every:
            agreement.revise(LEAVES - 8192)
        for epoch in range(3, 5 + SETTLED):
            ledger.to_epoch(epoch)
            everyone_beats(ledger, members)
            if epoch > 3:
                for member in members:
                    answers = [agreement.possession(epoch) for agreement in held[member.id]]
                    ledger.write(member.node, "Proofs", "prove", answers)
        ledger.to_epoch(ledger.epoch + 1)
        return epoch_of(ledger, members, held)


def epoch_of(ledger: Ledger, members: list[Member], held: dict[int, list[Agreement]]) -> dict[str, Filled]:
    ledger.rpc("evm_setBlockGasLimit", hex(BLOCK_GAS))
    blocks, filled = Blocks(ledger), {}
    for member in members:
        blocks.add(member.node, "Beacon", "beat", member.id, member.next_link())
    filled["beats"] = blocks.fill()
    for member in members:
        answers = [agreement.possession(ledger.epoch) for agreement in held[member.id]]
        blocks.add(member.node, "Proofs", "prove", answers)
    filled["proofs"] = blocks.fill()
    for agreements in held.values():
        for agreement in agreements:
            blocks.add(
                agreement.client.node, "Agreements", "revise", *agreement.signed_revision(agreement.leaves + 1024)
            )
    filled["revisions"] = blocks.fill()
    ledger.to_epoch(ledger.epoch, second_half=True)
    for agreements in held.values():
        blocks.add(agreements[0].provider.node, "Clearing", "settleMany", [agreement.id for agreement in agreements])
    filled["settlements"] = blocks.fill()
    return filled


HEADING = f"""# Capacity

Made by `scripts/assure capacity --write`: what a chain with blocks of 30 million gas every 2 seconds sustains, by
blocks that anvil filled, and by arithmetic.

## Measured

{MEMBERS} members, each client in {EACH} agreements of 1 GiB, full, and provider in {EACH}. All transactions of one
epoch were sent at once, and blocks mined until none waited. *In a block*: members for beats, agreements for the rest.

| rules | what | transactions | gas | for each | in a block |
|---|---|---:|---:|---:|---:|
"""

ARITHMETIC = """
## Arithmetic

At Cancun's rules. An agreement costs {proof:,} + {settlement:,} / {settled} = {steady:,} gas an epoch: a proof in its
provider's batch, and its part of a settlement every {settled} epochs; and {revision:,} for each revision.
A member costs {beat:,} + {probes} · {probe:,} = {fixed:,}: its beat, and the probe reports on it (GAS.md).
The chain has {second:,} gas a second. Half of it is counted; the rest is for bursts, repairs and growth.
With {each} agreements a member:

    members = ½ · {second:,} · epoch / (member + {each} · (agreement + revisions an epoch · revision))

| epoch | backups every 15 minutes | hourly | daily |
|---|---:|---:|---:|
"""

OVER_TIME = """
Proofs come early in the epoch: in a quarter of an hour's epoch full blocks take {burst:,} of them.

## Over time

Rings of roots, rounds and reports are used again. What grows: a bit an agreement and epoch (proven; a word of 32 bytes
in 256 epochs), a bit an epoch (quorum), half a word for each epoch in which an agreement is revised (its leaf count),
half a word a provider and epoch with a quality record. A year of hourly epochs is {words} words an agreement for its
proofs, and 4,380 more if it is revised in each of them. Settling late costs no more: epochs are settled 256 a word.
"""


def page(measured: dict[str, dict[str, Filled]], probe: int) -> str:
    lines = [HEADING]
    for hardfork, kinds in measured.items():
        for kind, filled in kinds.items():
            each = filled.gas // (MEMBERS if kind == "beats" else MEMBERS * EACH)
            blocks = f"{len(filled.blocks)} block{'s' * (len(filled.blocks) > 1)}"
            lines.append(
                f"| {hardfork.capitalize()} | {kind} | {filled.transactions} in {blocks} | {filled.gas:,} | {each:,} |"
                f" {BLOCK_GAS // each} |\n"
            )
    kinds = measured["cancun"]
    proof, revision, settlement = (kinds[k].gas // (MEMBERS * EACH) for k in ("proofs", "revisions", "settlements"))
    beat, second = kinds["beats"].gas // MEMBERS, BLOCK_GAS // BLOCK_S
    fixed, steady = beat + PROBES * probe, proof + settlement // SETTLED
    lines.append(
        ARITHMETIC.format(
            proof=proof,
            settlement=settlement,
            settled=SETTLED,
            steady=steady,
            revision=revision,
            beat=beat,
            probes=PROBES,
            probe=probe,
            fixed=fixed,
            second=second,
            each=EACH,
        )
    )
    for name, seconds in EPOCHS:
        row = []
        for every in REVISIONS:
            member = fixed + EACH * (steady + revision * seconds / every)
            number = int(second * SHARE * seconds / member)
            row.append(f"{number:,} members, {number * EACH:,} agreements")
        lines.append(f"| {name} | {' | '.join(row)} |\n")
    return "".join(lines) + OVER_TIME.format(burst=900 * second // proof, words=8760 // 256 + 1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/assure capacity", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write contracts/CAPACITY.md")
    options = parser.parse_args()
    measured = {hardfork: measure(hardfork) for hardfork in HARDFORKS}
    text = page(measured, probe_report())
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text)
    return 0


def probe_report() -> int:
    """Gas of a probe report, from GAS.md."""
    table = (PAGE.parent / "GAS.md").read_text(encoding="utf-8")
    (row,) = [line for line in table.splitlines() if line.startswith("| probe report |")]
    return int(row.split("|")[4].replace(",", ""))


if __name__ == "__main__":
    sys.exit(main())
