"""A small real network for the tests: anvil, the contracts, and members whose nodes the test itself plays."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import socket
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from peerage_chain.anvil import AnvilProcess
from peerage_chain.challenge import LINK_BYTES
from peerage_chain.client import Chain
from peerage_chain.deploy import Application, Operator, Tuning
from peerage_chain.rpc import Rpc
from peerage_chain.typed import address_of, enrolment_digest, revision_digest, sign, terms_digest
from peerage_chain.types import (
    CREDIT,
    GIB,
    AgreementId,
    AgreementInfo,
    Challenge,
    Enrolment,
    Epoch,
    MemberId,
    Offer,
    Params,
    Revision,
    Sample,
    Terms,
)

EPOCH_S = 100  # long against a test's own duration: epochs pass by jumping the chain's clock
SAMPLES = 4
LEAF = 1024
ONION_LENGTH = 64
OPERATOR_KEY = bytes(31) + b"\x07"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Tree:
    """A Merkle sum tree, written for clarity: the reference against which the contract is run."""

    def __init__(self, data: bytes) -> None:
        self.leaves = [data[i : i + LEAF] for i in range(0, len(data), LEAF)]
        self._node = cache(self._hash)

    def _hash(self, low: int, high: int) -> bytes:
        if high - low == 1:
            return hashlib.sha256(b"\0" + self.leaves[low]).digest()
        middle = low + _split(high - low)
        return hashlib.sha256(
            b"\1"
            + (middle - low).to_bytes(8, "big")
            + self._node(low, middle)
            + (high - middle).to_bytes(8, "big")
            + self._node(middle, high)
        ).digest()

    @property
    def root(self) -> bytes:
        return self._node(0, len(self.leaves))

    def sample(self, index: int) -> Sample:
        path: list[tuple[bytes, int, bool]] = []
        low, high = 0, len(self.leaves)
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                path.append((self._node(middle, high), high - middle, False))
                high = middle
            else:
                path.append((self._node(low, middle), middle - low, True))
                low = middle
        return Sample(self.leaves[index], tuple(reversed(path)))


def _split(n: int) -> int:
    return 1 << ((n - 1).bit_length() - 1)


@dataclass(eq=False)
class Player:
    """One member: its account, its node key, its onion, and its own connection."""

    id: MemberId
    account_key: bytes
    node_key: bytes
    chain: Chain
    links: list[bytes] = field(default_factory=list)
    revealed: int = ONION_LENGTH

    async def beat(self) -> None:
        self.revealed -= 1
        await self.chain.beat(self.id, self.links[self.revealed])


@dataclass
class Network:
    anvil: AnvilProcess
    operator: Operator
    observer: Chain
    rpc: Rpc
    players: list[Player] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.anvil.url

    async def close(self) -> None:
        for player in self.players:
            await player.chain.close()
        await self.rpc.close()
        await self.observer.close()
        await self.operator.close()
        await self.anvil.stop(dump=False)

    async def jump(self, epochs: int = 1) -> Epoch:
        """Go to just after the start of the epoch that lies `epochs` ahead."""
        now = await self.observer.now()
        ahead_s = now.epoch_start_s + epochs * EPOCH_S + 1 - now.timestamp_s
        await self.rpc.call("evm_increaseTime", ahead_s)
        await self.rpc.call("evm_mine")
        return (await self.observer.now()).epoch

    async def jump_to_second_half(self) -> None:
        await self.rpc.call("evm_increaseTime", EPOCH_S // 2 + 5)
        await self.rpc.call("evm_mine")

    async def epoch(self, *silent: Player) -> Epoch:
        """Go to the next epoch, in which everybody beats but the silent."""
        epoch = await self.jump()
        await self.all_beat(*silent)
        return epoch

    async def prove(self, provider: Player, id: AgreementId, tree: Tree) -> bool:
        """Answer this epoch's challenge if there is one."""
        challenge = await provider.chain.challenge(id, (await self.observer.now()).epoch)
        if challenge.due:
            await provider.chain.prove([answer(challenge, tree)])
        return challenge.due

    async def all_beat(self, *silent: Player) -> None:
        await asyncio.gather(*(player.beat() for player in self.players if player not in silent))

    async def join(self, *names: str, account_key: bytes | None = None) -> list[Player]:
        """Admit members and let their nodes enrol, commit and offer. account_key: of the first one."""
        keys = [secrets.token_bytes(32) for _ in names]
        if account_key is not None:
            keys[0] = account_key
        ids = await self.operator.admit_many(
            [
                Application(address_of(key), hashlib.sha256(name.encode()).digest(), "FR", name)
                for key, name in zip(keys, names, strict=True)
            ]
        )
        joined = await asyncio.gather(*(self._equip(*who) for who in zip(ids, keys, names, strict=True)))
        self.players += joined
        return joined

    async def _equip(self, id: MemberId, account_key: bytes, name: str) -> Player:
        node_key = secrets.token_bytes(32)
        chain = await Chain.connect(self.url, node_key=node_key)
        player = Player(id, account_key, node_key, chain)
        certificate = b"certificate of " + name.encode()
        enrolment = Enrolment(
            account=address_of(account_key),
            node=address_of(node_key),
            certificate_hash=hashlib.sha256(certificate).digest(),
            issued_at=(await chain.now()).timestamp_s,
            expires_at=(await chain.now()).timestamp_s + 10**8,
            spending_limit=1_000_000 * CREDIT,
            exclusive=False,
        )
        signature = sign(account_key, enrolment_digest(enrolment, chain.domain))
        await chain.enrol(enrolment, certificate, f"127.0.0.1:{9000 + id}", f"site-{id}", signature)
        player.links = [secrets.token_bytes(LINK_BYTES)]
        for _ in range(ONION_LENGTH):
            player.links.append(hashlib.sha256(player.links[-1]).digest()[:LINK_BYTES])
        await chain.commit_tip(player.links[ONION_LENGTH])
        await chain.publish_offer(Offer(GIB, 1000, 100, 10 * CREDIT, 1024, 4, 10_000))
        return player

    async def open(
        self, client: Player, provider: Player, term_epochs: int = 1000, **changes: int
    ) -> tuple[AgreementId, Terms]:
        now = await self.observer.now()
        terms = Terms(
            client=client.id,
            provider=provider.id,
            capacity=64 << 20,
            price_per_gib_epoch=1_000_000,
            egress_price_per_gib=1000,
            collateral=10 * CREDIT,
            min_bandwidth_kib_s=100,
            min_retention_epochs=4,
            start_epoch=now.epoch,
            end_epoch=Epoch(now.epoch + term_epochs),
            open_by=Epoch(now.epoch + 10),
            salt=secrets.token_bytes(32),
        )
        terms = replace(terms, **changes)
        digest = terms_digest(terms, client.chain.domain)
        id = await client.chain.open_agreement(terms, sign(client.node_key, digest), sign(provider.node_key, digest))
        return id, terms

    async def revise(self, client: Player, provider: Player, id: AgreementId, tree: Tree) -> Revision:
        known: AgreementInfo = await self.observer.agreement(id)
        now = await self.observer.now()
        leaves = len(tree.leaves)
        revision = Revision(
            id,
            known.sequence + 1,
            known.revision,
            tree.root,
            leaves,
            max(known.bytes_up, leaves * LEAF),
            known.bytes_down,
            Epoch(now.epoch + 5),
        )
        digest = revision_digest(revision, client.chain.domain)
        await client.chain.revise(revision, sign(client.node_key, digest), sign(provider.node_key, digest))
        return revision


def answer(challenge: Challenge, tree: Tree) -> tuple[AgreementId, list[Sample]]:
    """The proof that a challenge asks for."""
    return challenge.agreement, [tree.sample(index) for index in challenge.indices]


async def start(home: Path, block_s: float = 0.05, tuning: Tuning | None = None) -> Network:
    """A chain with the contracts deployed and no members."""
    anvil = AnvilProcess(home, free_port(), block_s=block_s)
    await anvil.start()
    operator = await Operator.connect(anvil.url, OPERATOR_KEY, chain_id=anvil.chain_id)
    await operator.deploy(Params(EPOCH_S, 0, SAMPLES), tuning)
    observer = await Chain.connect(anvil.url)
    return Network(anvil, operator, observer, Rpc(anvil.url))
