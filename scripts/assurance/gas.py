"""What each operation costs: whole transactions, by receipts of the compiled contracts on anvil (contracts/GAS.md)."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from peerage_chain.quality import drawn
from peerage_chain.types import MemberId

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from ledger import CREDIT, GIB, Agreement, Ledger, Member  # noqa: E402 - the lines above make it importable

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "contracts" / "GAS.md"
BEFORE = Path(__file__).with_name("gas_before.json")
HARDFORKS = ("cancun", "prague")
BATCH = 10
SETTLED = 30
PROBED = 12
COMMITTEE = 5
LEAVES = GIB >> 10
GROWTH = 8192

Figures = dict[str, int]


def measure(hardfork: str) -> Figures:
    """Gas by operation, at the rules of one hard fork."""
    with Ledger(hardfork) as ledger:
        members = [Member(ledger, id) for id in range(1, 7)]
        provider, clients = members[0], members[1:]
        ledger.to_epoch(2)
        everyone_beats(ledger, members)
        held = [Agreement(ledger, clients[n % 5], provider, n, as_="open") for n in range(BATCH)]
        for agreement in held:
            agreement.revise(LEAVES - GROWTH, as_="revise, the first")
        for epoch in (3, 4):
            ledger.to_epoch(epoch)
            everyone_beats(ledger, members)
        figures = ledger.gas
        proofs(ledger, members, held)
        settlements(ledger, members, held)
        changes(ledger, held[2], held[3])
        revisions(ledger, members, held)
        troubles(ledger, members, held[1])
        probes(ledger, members)
        money(ledger, clients[0])
        figures["per agreement and epoch"] = (
            figures["proof, of a batch of 10"]
            + figures["beat"] // BATCH
            + figures["settle 30 epochs, of a batch of 10"] // SETTLED
        )
        return figures


def everyone_beats(ledger: Ledger, members: list[Member]) -> None:
    names = dict.fromkeys(range(len(members)), "beat") | {0: "beat, an epoch's first"}
    for n, member in enumerate(members):
        reaching = n * 3 < len(members) * 2 <= (n + 1) * 3
        member.beat("beat, reaching the quorum" if reaching else names[n])


def proofs(ledger: Ledger, members: list[Member], held: list[Agreement]) -> None:
    """Through SETTLED epochs after a settlement: the mean, since paths and their overlaps differ by chance."""
    node = held[0].provider.node
    ledger.write(ledger.operator, "Clearing", "settleMany", [agreement.id for agreement in held])
    alone, batches = [], []
    for number in range(SETTLED):
        if number:
            ledger.to_epoch(ledger.epoch + 1)
            everyone_beats(ledger, members)
        answers = [agreement.possession(ledger.epoch) for agreement in held]
        if number % 3:
            batches.append(ledger.write(node, "Proofs", "prove", answers))
        else:
            alone.extend(ledger.write(node, "Proofs", "prove", [answer]) for answer in answers)
    ledger.gas["proof, alone"] = sum(alone) // len(alone)
    ledger.gas["proof, of a batch of 10"] = sum(batches) // len(batches) // BATCH


def settlements(ledger: Ledger, members: list[Member], held: list[Agreement]) -> None:
    ledger.to_epoch(ledger.epoch + 1)
    everyone_beats(ledger, members)
    ledger.to_epoch(ledger.epoch, second_half=True)
    first, *others = held
    ledger.write(ledger.operator, "Clearing", "settle", first.id, as_="settle 30 epochs, alone")
    used = ledger.write(ledger.operator, "Clearing", "settleMany", [agreement.id for agreement in others])
    ledger.gas["settle 30 epochs, of a batch of 10"] = used // len(others)
    if ledger.read("Clearing", "ledgerOf", first.id)["misses"]:
        raise RuntimeError("an epoch was missed")


def revisions(ledger: Ledger, members: list[Member], held: list[Agreement]) -> None:
    """Once an epoch on an agreement that has a history: what a daily backup costs."""
    used = []
    for _ in range(8):
        ledger.to_epoch(ledger.epoch + 1)
        everyone_beats(ledger, members)
        used.append(held[0].revise(held[0].leaves + GROWTH // 8))
    ledger.gas["revise"] = max(used)
    removed = 4096
    client = held[0].client.node
    arguments = (held[0].id, b"\x11" * 32, removed)
    ledger.write(client, "Agreements", "announceRemoval", *arguments, as_="announce a removal")
    ledger.to_epoch(ledger.epoch + 25)
    held[0].revise(held[0].leaves - removed, as_="revise, with a removal")


def troubles(ledger: Ledger, members: list[Member], agreement: Agreement) -> None:
    """What is done when something is wrong, on an agreement whose provider proves all the same."""
    client, provider = agreement.client.node, agreement.provider.node
    ledger.to_epoch(ledger.epoch + 1)
    everyone_beats(ledger, members)
    ledger.write(provider, "Members", "declareMaintenance", ledger.epoch + 40, ledger.epoch + 44, as_="maintenance")
    ledger.write(client, "Demands", "demand", agreement.id, [7, 500_000], as_="demand of two leaves")
    ledger.write(provider, "Demands", "answer", 1, agreement.opened(7, 500_000), as_="answer of two leaves")
    ledger.write(provider, "Proofs", "reportLoss", agreement.id, 1000, 64, as_="report of a loss")
    ledger.write(provider, "Proofs", "reportRestored", agreement.id, as_="report of a restoration")


def changes(ledger: Ledger, renewed: Agreement, left: Agreement) -> None:
    """New terms for an agreement that was settled just now, and an early end."""
    renewed.amend(more_epochs=1000, as_="amend: a renewal")
    renewed.amend(more_bytes=1 << 20, as_="amend: growth")
    ledger.write(left.provider.account, "Amendments", "exit", left.id, as_="exit")


def probes(ledger: Ledger, members: list[Member]) -> None:
    """Each member reports on all that it was drawn for, at once: the mean a report, in places that are used again."""
    batches, alone, dearest = [], [], 0
    for number in range(3 * PROBED):
        ledger.to_epoch(ledger.epoch + 1)
        everyone_beats(ledger, members)
        seed, drawable = ledger.read("Beacon", "seed", ledger.epoch - 1)
        if not drawable:  # nobody beat in the epoch before
            continue
        for prober in members:
            providers = [m.id for m in members if m.id != prober.id]
            mine = [p for p in providers if drawn(seed, prober.link, MemberId(p), len(members), COMMITTEE)]
            reports = [{"provider": p, "figures": figures(prober.id, p, number)} for p in mine]
            if number >= 2 * PROBED:
                used = [ledger.write(prober.node, "Quality", "report", ledger.epoch - 1, [one]) for one in reports]
                alone.extend(used)
                dearest = max(dearest, *used)
            elif reports:
                used = ledger.write(prober.node, "Quality", "report", ledger.epoch - 1, reports)
                if number >= PROBED:
                    batches.append((used, len(reports)))
    ledger.gas["probe report"] = sum(used for used, _ in batches) // sum(number for _, number in batches)
    ledger.gas["probe report, alone"] = sum(alone) // len(alone)
    ledger.gas["probe report, alone, the dearest"] = dearest


def figures(prober: int, provider: int, number: int) -> Mapping[str, int]:
    rates = {"down": 11_000 + 7 * prober + number, "up": 9_000 + 3 * prober + number}
    return rates | {"latency": 20 + provider, "availability": 100}


def money(ledger: Ledger, member: Member) -> None:
    ledger.write(member.account, "Clearing", "withdraw", CREDIT, member.account, as_="withdraw")
    ledger.write(member.node, "Anchors", "anchor", 0, 1, b"\x22" * 32, as_="anchor, the first")
    ledger.write(member.node, "Anchors", "anchor", 0, 2, b"\x33" * 32, as_="anchor")


# (operation, goal at Cancun's rules or 0)
ROWS: tuple[tuple[str, int], ...] = (
    ("open", 220_000),
    ("revise", 70_000),
    ("beat", 45_000),
    ("proof, of a batch of 10", 240_000),
    ("per agreement and epoch", 260_000),
    ("settle 30 epochs, alone", 90_000),
    ("settle 30 epochs, of a batch of 10", 0),
    ("probe report", 45_000),
    ("probe report, alone", 0),
    ("probe report, alone, the dearest", 0),
    ("proof, alone", 0),
    ("beat, an epoch's first", 0),
    ("beat, reaching the quorum", 0),
    ("revise, the first", 0),
    ("revise, with a removal", 0),
    ("announce a removal", 0),
    ("demand of two leaves", 0),
    ("answer of two leaves", 0),
    ("report of a loss", 0),
    ("report of a restoration", 0),
    ("amend: a renewal", 0),
    ("amend: growth", 0),
    ("exit", 0),
    ("maintenance", 0),
    ("anchor", 0),
    ("anchor, the first", 0),
    ("deposit", 0),
    ("withdraw", 0),
    ("admit", 0),
    ("enrol", 0),
    ("commit", 0),
    ("offer", 0),
)

ABOUT = f"""# Gas

Made by `scripts/assure gas --write`; `scripts/check` fails when it is out of date. Each figure is one whole transaction
(21,000 + calldata + execution), from its receipt on anvil at the rules of the hard fork named; the code is what is
shipped, compiled for Berlin. Keys, times and onions are fixed, so the figures are the same each time.

The network: six members; one provider holds {BATCH} agreements of 1 GiB, full, under the default parameters. Proofs
answer 8 samples each; theirs is the mean over {SETTLED} epochs, for paths overlap by chance. *revise*: once an epoch,
the dearest of eight. *Per agreement and epoch*: a proof of a batch, a tenth of the provider's beat, and a thirtieth of
a settlement of 30 epochs. *Probe report*: the mean over {PROBED} epochs in which each of the six members reports at
once on all it is drawn for; alone: one a transaction. At Prague's rules a byte of calldata costs 40 gas at least
(EIP-7623), which is what proofs come to. Before: the contracts of the first release (488f657), by the same measurement.

| operation | goal | before | Cancun | Prague |
|---|---:|---:|---:|---:|
"""


def page(measured: Mapping[str, Figures]) -> str:
    before: Mapping[str, Figures] = json.loads(BEFORE.read_text(encoding="utf-8"))
    lines = [ABOUT]
    for name, goal in ROWS:
        first = before["cancun"].get(name)
        cancun, prague = (measured[hardfork][name] for hardfork in HARDFORKS)
        shown = (f"{goal:,}" if goal else "", f"{first:,}" if first else "", f"{cancun:,}", f"{prague:,}")
        lines.append(f"| {' | '.join((name, *shown))} |\n")
    return "".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/assure gas", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write contracts/GAS.md")
    parser.add_argument("--json", action="store_true", help="print the figures alone")
    options = parser.parse_args()
    measured = {hardfork: measure(hardfork) for hardfork in HARDFORKS}
    if options.json:
        print(json.dumps(measured, indent=1, sort_keys=True))
        return 0
    text = page(measured)
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    stale = list(
        difflib.unified_diff(PAGE.read_text(encoding="utf-8").splitlines(), text.splitlines(), lineterm="", n=0)
    )
    print("\n".join(stale[2:]) if stale else text)
    if stale:
        print("contracts/GAS.md is out of date: run scripts/assure gas --write", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
