"""A chain of its own for measurements: anvil mining when told, the compiled contracts, members by number.

Everything in it is fixed (keys, times, onions), so that the same contracts cost the same gas each time.
"""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from peerage_chain.abi import artifact, decode_revert
from peerage_chain.anvil import find_anvil
from peerage_chain.codec import proof_of
from peerage_chain.directory import KINDS, kind_of
from peerage_chain.typed import Domain, address_of, checksum_address, digest_of, sign
from peerage_chain.types import Sample

CHAIN_ID = 31_337
EPOCH_S = 100
GENESIS_S = 1_750_000_000
START_S = 10.0
GAS = 1_000_000_000
ONION = 2_000
LINK = 20  # bytes
GIB = 1 << 30
CREDIT = 10**6

Fields = Mapping[str, Any]


def seeded(*words: object) -> bytes:
    """32 bytes that these words stand for."""
    return hashlib.sha256("/".join(map(str, words)).encode()).digest()


def of_abi(item: Mapping[str, Any], value: Any) -> Any:
    """A value as the ABI takes it: structs are given as dictionaries; a field that is not given is zero."""
    kind = item["type"]
    if kind.endswith("]"):
        inner = {**item, "type": kind[: kind.rindex("[")]}
        return tuple(of_abi(inner, part) for part in value)
    if kind != "tuple":
        return value
    unknown = set(value) - {part["name"] for part in item["components"]}
    if unknown:
        raise ValueError(f"{item['internalType']} has no {', '.join(sorted(unknown))}")
    return tuple(of_abi(part, value.get(part["name"], zero(part))) for part in item["components"])


def zero(item: Mapping[str, Any]) -> Any:
    kind = item["type"]
    if kind.endswith("]"):
        return ()
    if kind == "tuple":
        return {}
    if kind == "address":
        return "0x" + "00" * 20
    if kind.startswith("bytes"):
        return b"" if kind == "bytes" else bytes(int(kind[5:]))
    return {"string": "", "bool": False}.get(kind, 0)


def calldata(contract: str, method: str, *arguments: Any) -> bytes:
    known = artifact(contract).methods[method]
    return known.encode(*(of_abi(item, value) for item, value in zip(known.inputs, arguments, strict=True)))


class Ledger:
    """anvil at the rules of one hard fork, with the contracts deployed. Use it as a context manager."""

    def __init__(self, hardfork: str, params: Fields | None = None) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="peerage-gas-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        command = [find_anvil(), "-q", "--port", str(port), "--hardfork", hardfork, "--chain-id", str(CHAIN_ID)]
        command += ["--no-mining", "--auto-impersonate", "--timestamp", str(GENESIS_S - EPOCH_S)]
        command += ["--gas-limit", str(GAS), "--gas-price", "0", "--block-base-fee-per-gas", "0"]
        command += ["--disable-min-priority-fee", "--prune-history", "100", "--accounts", "1"]
        with Path(self._home.name, "anvil.log").open("wb") as log:
            self._process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, cwd=self._home.name)
        self.operator = address_of(seeded("operator"))
        self.addresses: dict[str, str] = {}
        self.gas: dict[str, int] = {}
        self.epoch = 0
        try:
            self._wait()
            self._deploy(params or {})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._home.cleanup()

    # --- the chain ---

    def rpc(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=120) as response:  # noqa: S310
            answer = json.load(response)
        if "error" in answer:
            data = answer["error"].get("data")
            reason = decode_revert(bytes.fromhex(data[2:])) if isinstance(data, str) else answer["error"]["message"]
            raise RuntimeError(f"{method}: {reason}")
        return answer["result"]

    def _wait(self) -> None:
        limit = time.monotonic() + START_S
        while True:
            try:
                self.rpc("eth_chainId")
                return
            except OSError:
                if time.monotonic() > limit or self._process.poll() is not None:
                    raise
                time.sleep(0.02)

    def send(self, sender: str, to: str | None, data: bytes) -> dict[str, Any]:
        """One transaction in a block of its own. Raises RuntimeError with the contract's reason if it is refused."""
        transaction = {"from": sender, "to": to, "data": "0x" + data.hex(), "gas": hex(GAS), "gasPrice": "0x0"}
        if to is None:
            del transaction["to"]
        hashed = self.rpc("eth_sendTransaction", transaction)
        self.rpc("evm_mine")
        receipt: dict[str, Any] = self.rpc("eth_getTransactionReceipt", hashed)
        if receipt["status"] != "0x1":
            self.rpc("eth_call", transaction, "latest")
            raise RuntimeError(f"a transaction to {to} failed")
        return receipt

    def write(self, sender: str, contract: str, method: str, *arguments: Any, as_: str | None = None) -> int:
        """Call a contract; returns the transaction's gas, and notes it under the name `as_`."""
        data = calldata(contract, method, *arguments)
        used = int(self.send(sender, self.addresses[contract], data)["gasUsed"], 16)
        if as_:
            self.gas[as_] = used
        return used

    def read(self, contract: str, method: str, *arguments: Any) -> Any:
        call = {"to": self.addresses[contract], "data": "0x" + calldata(contract, method, *arguments).hex()}
        answer = self.rpc("eth_call", call, "latest")
        return artifact(contract).methods[method].decode(bytes.fromhex(answer[2:]))

    def to_epoch(self, epoch: int, second_half: bool = False) -> None:
        self.epoch = epoch
        self.rpc("evm_setNextBlockTimestamp", GENESIS_S + epoch * EPOCH_S + (EPOCH_S // 2 if second_half else 0))
        self.rpc("evm_mine")

    # --- the contracts ---

    def _create(self, contract: str, *arguments: Any) -> str:
        receipt = self.send(self.operator, None, artifact(contract).creation(*arguments))
        address = checksum_address(bytes.fromhex(receipt["contractAddress"][2:]))
        return address

    def _deploy(self, params: Fields) -> None:
        directory = self.addresses["Directory"] = self._create("Directory")
        given = {"epochSeconds": EPOCH_S, "genesisTime": GENESIS_S, **params}
        self.write(self.operator, "Directory", "configure", given)
        for kind in KINDS:
            self.addresses[kind] = self._create(kind, directory)
            self.write(self.operator, "Directory", "set", kind_of(kind), self.addresses[kind])
        self.domain = Domain(CHAIN_ID, self.addresses["Directory"])


class Member:
    """A member as it should be: admitted, enrolled, committed, offering, with credits."""

    def __init__(self, ledger: Ledger, id: int) -> None:
        self.id = id
        self._ledger = ledger
        self.account_key, self.key = seeded("account", id), seeded("node", id)
        self.account, self.node = address_of(self.account_key), address_of(self.key)
        self._links = [seeded("onion", id)[:LINK]]
        for _ in range(ONION):
            self._links.append(hashlib.sha256(self._links[-1]).digest()[:LINK])
        entity = seeded("entity", id)
        ledger.write(ledger.operator, "Members", "admit", self.account, entity, b"FR", f"member {id}", as_="admit")
        self._enrol()
        ledger.write(self.node, "Beacon", "commit", self._links[-1], as_="commit")
        offer = {"capacity": 1 << 40, "pricePerGibEpoch": 1000, "egressPricePerGib": 100, "bandwidthKibS": 1024}
        ledger.write(self.node, "Members", "publishOffer", {**offer, "termEpochs": 10_000}, as_="offer")
        amount = 10**6 * CREDIT
        ledger.write(ledger.operator, "Credit", "mint", ledger.operator, amount)
        ledger.write(ledger.operator, "Credit", "approve", ledger.addresses["Clearing"], amount)
        ledger.write(ledger.operator, "Clearing", "depositFor", id, amount, as_="deposit")

    def _enrol(self) -> None:
        certificate = b"".join(seeded("certificate", self.id, part) for part in range(14))  # as long as a real one
        enrolment = {
            "version": 1,
            "account": self.account,
            "node": self.node,
            "certificateHash": hashlib.sha256(certificate).digest(),
            "issuedAt": GENESIS_S - EPOCH_S,
            "expiresAt": GENESIS_S + 10**8,
            "spendingLimit": 10**15,
            "exclusive": False,
            "extension": bytes(32),
        }
        signature = sign(self.account_key, digest_of("Enrolment", tuple(enrolment.values()), self._ledger.domain))
        place = (f"node-{self.id}.example.org:8443", f"site-{self.id}")
        self._ledger.write(self.node, "Members", "enrol", enrolment, certificate, *place, signature, as_="enrol")

    @property
    def link(self) -> bytes:
        """The newest that it has revealed."""
        return self._links[-1]

    def next_link(self) -> bytes:
        """The link of the next beat; it counts as revealed from now on."""
        self._links.pop()
        return self._links[-1]

    def beat(self, as_: str | None = None) -> int:
        return self._ledger.write(self.node, "Beacon", "beat", self.id, self.next_link(), as_=as_)


class Agreement:
    """An agreement whose data is one leaf over and over: its tree of any size is hashed in no time."""

    def __init__(self, ledger: Ledger, client: Member, provider: Member, number: int, as_: str | None = None) -> None:
        self._ledger, self.client, self.provider = ledger, client, provider
        self.leaf = b"".join(seeded("leaf", number, part) for part in range(32))
        self._hashes: dict[int, bytes] = {1: hashlib.sha256(b"\0" + self.leaf).digest()}
        self.sequence, self.leaves, self.previous = 0, 0, bytes(32)
        self.terms = {
            "version": 1,
            "client": client.id,
            "provider": provider.id,
            "capacity": GIB,
            "pricePerGibEpoch": 1000,
            "egressPricePerGib": 100,
            "collateral": 10 * CREDIT,
            "minBandwidthKibS": 1024,
            "minRetentionEpochs": 24,
            "startEpoch": ledger.epoch,
            "endEpoch": ledger.epoch + 2_000,
            "openBy": ledger.epoch + 10,
            "salt": seeded("salt", number),
        }
        self.id: bytes = ledger.read("Agreements", "digestOfTerms", self.terms)
        ledger.write(client.node, "Agreements", "open", self.terms, *self._signed(self.id), as_=as_)

    def _signed(self, digest: bytes) -> Sequence[bytes]:
        return sign(self.client.key, digest), sign(self.provider.key, digest)

    def revise(self, leaves: int, as_: str | None = None) -> int:
        signed = self.signed_revision(leaves)
        return self._ledger.write(self.client.node, "Agreements", "revise", *signed, as_=as_)

    def signed_revision(self, leaves: int) -> tuple[Fields, bytes, bytes]:
        """The next revision and both signatures; it counts as recorded from now on."""
        revision = {
            "version": 1,
            "agreement": self.id,
            "sequence": self.sequence + 1,
            "previous": self.previous,
            "root": self.node(leaves),
            "leaves": leaves,
            "bytesUp": (self.sequence + 1) << 30,
            "bytesDown": (self.sequence + 1) << 20,
            "expires": self._ledger.epoch + 10,
        }
        digest = self._ledger.read("Agreements", "digestOfRevision", revision)
        self.sequence, self.leaves, self.previous = self.sequence + 1, leaves, digest
        ours, theirs = self._signed(digest)
        return revision, ours, theirs

    def amend(self, more_epochs: int = 0, more_bytes: int = 0, as_: str | None = None) -> int:
        shown = self._ledger.read("Agreements", "get", self.id)
        terms = shown["terms"]
        amendment = {
            "version": 1,
            "agreement": self.id,
            "number": shown["amendments"] + 1,
            "capacity": terms["capacity"] + more_bytes,
            "pricePerGibEpoch": terms["pricePerGibEpoch"],
            "egressPricePerGib": terms["egressPricePerGib"],
            "collateral": terms["collateral"],
            "minRetentionEpochs": terms["minRetentionEpochs"],
            "endEpoch": terms["endEpoch"] + more_epochs,
            "expires": self._ledger.epoch + 10,
        }
        digest = self._ledger.read("Amendments", "digestOfAmendment", amendment)
        return self._ledger.write(self.client.node, "Amendments", "amend", amendment, *self._signed(digest), as_=as_)

    # --- its tree (node/spec/trees.md) ---

    def node(self, leaves: int) -> bytes:
        """The hash of a subtree: all of one size are the same."""
        if leaves not in self._hashes:
            left = split(leaves)
            hashed = b"\1" + left.to_bytes(8, "big") + self.node(left)
            self._hashes[leaves] = hashlib.sha256(
                hashed + (leaves - left).to_bytes(8, "big") + self.node(leaves - left)
            ).digest()
        return self._hashes[leaves]

    def possession(self, epoch: int) -> Fields:
        """The answer to an epoch's challenge."""
        due, *_, leaves, indices = self._ledger.read("Proofs", "challenge", self.id, epoch)
        if not due:
            raise RuntimeError("nothing is due")
        return {"agreement": self.id, "proof": proof_of([self._sample(index, leaves) for index in indices])}

    def opened(self, *indices: int) -> bytes:
        """A proof of these leaves, ascending."""
        return proof_of([self._sample(index, self.leaves) for index in indices])

    def _sample(self, index: int, leaves: int) -> Sample:
        path: list[tuple[bytes, int, bool]] = []
        while leaves > 1:
            left = split(leaves)
            if index < left:
                path.append((self.node(leaves - left), leaves - left, False))
                leaves = left
            else:
                path.append((self.node(left), left, True))
                index, leaves = index - left, leaves - left
        return Sample(self.leaf, tuple(reversed(path)))


def split(leaves: int) -> int:
    """The largest power of two below."""
    return 1 << ((leaves - 1).bit_length() - 1)
