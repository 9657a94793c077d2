"""The life of one agreement on a real chain, told by its events. See scripts/life."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.chain.network import Network, Player, Tree, start

from peerage_chain.abi import artifact
from peerage_chain.client import Chain
from peerage_chain.deploy import Tuning
from peerage_chain.events import read_events
from peerage_chain.typed import address_of, amendment_digest, sign
from peerage_chain.types import CREDIT, GIB, AgreementId, AgreementState, Amendment, Epoch

CONTRACTS = ("Agreements", "Amendments", "Proofs", "Clearing")
AMOUNTS = frozenset({"amount", "burned", "collateral", "escrow", "paid", "toClient", "toProvider", "penalty", "charge"})
TERM_EPOCHS = 30
OLD, NEW = Tree(bytes(range(256)) * 4 * 100), Tree(bytes(range(256)) * 4 * 140)


def shown(event: str, name: str, value: Any) -> str:
    if event == "StateChanged":
        return AgreementState(value).name
    if name in AMOUNTS and isinstance(value, int):
        return f"{value / CREDIT:.6f}"
    if isinstance(value, bytes):
        return value[:4].hex() + "…"
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {shown(event, key, part)}" for key, part in value.items() if part) + ")"
    if isinstance(value, str) and value.startswith("0x"):
        return value[:8] + "…"
    return str(value)


class Story:
    """A network with Alice, who backs up, Bob, who keeps her data, and two more members, for the quorum."""

    def __init__(self, network: Network, say: Callable[[str], None]) -> None:
        self.network = network
        self._say = say
        self._told = 0
        self.alice: Player
        self.bob: Player
        self.id: AgreementId

    async def tell(self, heading: str, *expected: str) -> None:
        """Print the events since the last time. Ends the program if an expected one is not among them."""
        now = await self.network.observer.now()
        last = int(await self.network.rpc.call("eth_blockNumber"), 16)
        wanted = {contract: tuple(artifact(contract).events) for contract in CONTRACTS}
        contracts = self.network.observer.contracts
        records = [record async for record in read_events(contracts, wanted, last, self._told + 1)]
        self._told = last
        self._say(f"\n== {heading} (epoch {now.epoch})")
        for record in records:
            hidden = ("id", "agreement", "terms", "digest")
            fields = (
                f"{name} {shown(record.event, name, value)}"
                for name, value in record.fields.items()
                if name not in hidden
            )
            self._say(f"block {record.block:>5}  {record.contract + '.' + record.event:<28} {'  '.join(fields)}")
        missing = set(expected) - {record.event for record in records}
        if missing:
            raise SystemExit(f"this did not happen: {', '.join(sorted(missing))}")

    async def proves(self, epochs: int, tree: Tree) -> None:
        for _ in range(epochs):
            await self.network.epoch()
            await self.network.prove(self.bob, self.id, tree)

    async def misses(self, epochs: int) -> None:
        for _ in range(epochs):
            await self.network.epoch()

    async def settle(self) -> None:
        await self.network.jump_to_second_half()
        await self.alice.chain.settle([self.id])

    async def walk(self) -> None:
        network = self.network
        self.alice, self.bob, *_ = await network.join("Alice", "Bob", "Carol", "Dan")
        await network.operator.fund({player.id: 1000 * CREDIT for player in network.players})
        await network.jump(2)
        await network.all_beat()
        await self.tell("four members, funded", "Deposited")

        self.id, terms = await network.open(
            self.alice, self.bob, term_epochs=TERM_EPOCHS, price_per_gib_epoch=100 * CREDIT, capacity=GIB // 1024
        )
        await self.tell("opened, signed by both", "AgreementOpened", "Held")
        await network.revise(self.alice, self.bob, self.id, OLD)
        await self.tell("revised: 100 leaves", "Revised")
        await self.misses(1)  # nothing is due yet: only what stood two epochs before is asked for
        await self.proves(3, OLD)
        await self.settle()
        await self.tell("proven for three epochs, and settled", "Proven", "Settled")
        await network.epoch()
        await network.prove(self.bob, self.id, OLD)
        await network.revise(self.alice, self.bob, self.id, NEW)
        await network.epoch()
        await network.prove(self.bob, self.id, OLD)
        await self.tell("revised: 140 leaves, asked for from the epoch after the next on", "Revised")
        await self.misses(1)
        await self.proves(2, NEW)
        await self.settle()
        await self.tell("one epoch missed: it costs its pay", "Missed")
        await self.misses(3)
        await self.proves(2, NEW)
        await self.settle()
        await self.tell("three more missed: penalised, 5, 10 and 20 % of the collateral", "Penalised")
        await self.bob.chain.appeal(self.id, 0, "the provider's line was cut by works in the street")
        await self.tell("appealed: the heavy penalty waits", "Appealed")
        await network.operator.decide(self.id, 0, cancelled=True)
        await self.tell("decided: it goes back to the collateral", "Concluded")
        await self.renew(terms.end_epoch)
        await self.exit()

    async def renew(self, end_epoch: int) -> None:
        network, now = self.network, await self.network.observer.now()
        deal = (await network.observer.agreement(self.id)).terms
        amendment = Amendment(
            agreement=self.id,
            number=1,
            capacity=2 * deal.capacity,
            price_per_gib_epoch=deal.price_per_gib_epoch,
            egress_price_per_gib=deal.egress_price_per_gib,
            collateral=deal.collateral,
            min_retention_epochs=deal.min_retention_epochs,
            end_epoch=Epoch(end_epoch + 100 * TERM_EPOCHS),
            expires=Epoch(now.epoch + 2),
        )
        digest = amendment_digest(amendment, self.alice.chain.domain)
        await self.bob.chain.amend(amendment, sign(self.alice.node_key, digest), sign(self.bob.node_key, digest))
        await self.tell("renewed, with twice the capacity: one amendment, no data moved", "Amended", "Topped")
        await self.proves(2, NEW)
        await self.settle()
        await self.tell("proven and paid as before", "Settled")

    async def exit(self) -> None:
        account = await Chain.connect(self.network.url, node_key=self.alice.account_key)
        try:
            await account.exit(self.id)
        finally:
            await account.close()
        await self.tell("Alice's account ends it early: a notice to keep, and pay for it", "Exited", "ExitCharged")
        await self.end((await self.network.observer.agreement(self.id)).terms.end_epoch)

    async def end(self, end_epoch: int) -> None:
        network = self.network
        while (await network.observer.now()).epoch < end_epoch - 1:
            await self.proves(1, NEW)
        await network.epoch()
        await self.settle()
        await self.tell("ended: escrow and collateral go back", "Released", "StateChanged")
        for player in (self.alice, self.bob):
            account = await Chain.connect(network.url, node_key=player.account_key)
            try:
                await account.withdraw(await network.observer.balance(player.id), address_of(player.account_key))
            finally:
                await account.close()
        await self.tell("withdrawn by both accounts", "Withdrawn")
        view = await network.observer.agreement(self.id)
        if (view.state, view.escrow, view.collateral) != (AgreementState.ENDED, 0, 0):
            raise SystemExit(f"the agreement did not end as it should: {view}")


async def main() -> None:
    argparse.ArgumentParser(prog="scripts/life", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="peerage-life-") as home:
        network = await start(Path(home, "chain"), tuning=Tuning())
        try:
            await Story(network, print).walk()
        finally:
            await network.close()


if __name__ == "__main__":
    asyncio.run(main())
    sys.exit(0)
