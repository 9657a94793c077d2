"""Become a member: from 24 words to a home that a daemon can run, and the delegation that the account signs for it.

The account signs once, here, while the words are at hand; anyone may relay the signed enrolment afterwards, so the
account's key is never stored. `init`, the devnet and `recover` share this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from peerage.deal.policy import Policy
from peerage.errors import IntegrityError, UnknownVersion, UserError
from peerage.keys import parity
from peerage.keys import words as mnemonic
from peerage.keys.keystore import Keystore
from peerage.keys.sheet import Sheet
from peerage.net.tls import fingerprint, make_certificate
from peerage.ports import Ledger
from peerage.seal.keys import KEY_SIZE, NONCE_SIZE, wrap
from peerage.store.home import Config, Home
from peerage_chain import typed
from peerage_chain.types import CREDIT, Enrolment, MemberInfo

ENROLMENT_VALID_S = 5 * 365 * 86_400  # a node key is renewed, by the words, after five years at the latest
SPENDING_LIMIT = 1_000_000 * CREDIT  # what a node may bind in agreements unless its member says otherwise

Entropy = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Network:
    """Which chain, and where on it: what signatures and sheets are bound to. genesis: the first block's hash."""

    rpc: str
    chain_id: int
    genesis: bytes
    directory: str

    @property
    def domain(self) -> typed.Domain:
        return typed.Domain(self.chain_id, self.directory)


@dataclass(frozen=True, slots=True)
class SignedEnrolment:
    """An enrolment with the account's signature: fit to be relayed by anyone, and no secret."""

    enrolment: Enrolment
    signature: bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """A new node of a member. Everything secret is in `words` and `keystore`."""

    words: tuple[str, ...] = field(repr=False)
    account: str
    node: str
    keystore: Keystore = field(repr=False)
    enrolment: SignedEnrolment
    network: Network


def fresh_words(entropy: Entropy) -> tuple[str, ...]:
    """24 new words, from 32 random bytes."""
    return mnemonic.new_words(entropy(32))


def new_identity(
    words: Sequence[str],
    network: Network,
    *,
    now_s: int,
    entropy: Entropy,
    repository_keys: Mapping[int, bytes] | None = None,
    wrapped_keys: Mapping[int, bytes] | None = None,
    exclusive: bool = False,
    spending_limit: int = SPENDING_LIMIT,
) -> Identity:
    """Make a node key, a certificate and a hash onion, and let the words' account delegate to them.

    now_s: Unix time, by the chain where it is known. repository_keys: generation -> key, when the member has some
    already (recovery); a new member gets generation 0. exclusive: every other node key of the member is revoked.
    """
    account, account_key = mnemonic.account_of(words)
    node_key = _secp256k1_key(entropy)
    node = typed.address_of(node_key)
    tls_key_pem, certificate = make_certificate(node)
    if repository_keys is None:
        repository_keys = {0: entropy(KEY_SIZE)}
        wrapped_keys = None
    if wrapped_keys is None:
        wrap_key = mnemonic.wrap_key(words)
        wrapped_keys = {g: wrap(raw, wrap_key, g, entropy(NONCE_SIZE)) for g, raw in repository_keys.items()}
    enrolment = Enrolment(
        account=account,
        node=node,
        certificate_hash=fingerprint(certificate),
        issued_at=now_s,
        expires_at=now_s + ENROLMENT_VALID_S,
        spending_limit=spending_limit,
        exclusive=exclusive,
    )
    signature = typed.sign(account_key, typed.enrolment_digest(enrolment, network.domain))
    keystore = Keystore(
        node_key=node_key,
        tls_key_pem=tls_key_pem,
        certificate_der=certificate,
        onion_seed=entropy(32),
        repository_keys=dict(repository_keys),
        wrapped_keys=dict(wrapped_keys),
        account=account,
    )
    return Identity(tuple(words), account, node, keystore, SignedEnrolment(enrolment, signature), network)


def _secp256k1_key(entropy: Entropy) -> bytes:
    while True:
        key = entropy(32)
        if 0 < int.from_bytes(key, "big") < typed.CURVE_ORDER:  # all but 1 in 2^128
            return key


def sheet_of(identity: Identity, peers: Sequence[str] = ()) -> Sheet:
    """The recovery sheet: the words, their parity words, and what a stranger's machine needs to find the network."""
    network = identity.network
    return Sheet(
        words=identity.words,
        parity=tuple(parity.parity_words(identity.words)),
        chain_id=network.chain_id,
        genesis="0x" + network.genesis.hex(),
        directory=network.directory,
        rpc=(network.rpc,),
        peers=tuple(peers),
    )


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Where a node listens and is reached, and what its member says of it. listen: host:port; endpoint: https URL."""

    listen: str = "127.0.0.1:0"
    endpoint: str = ""
    site: str = ""
    name: str = ""


def write_home(path: Path, identity: Identity, settings: NodeSettings, passphrase: str) -> Home:
    """Write a home that `up` can run. Raises UserError if one is there already or a setting is wrong, LocalFault.

    The keystore goes last: a home without it was not finished, and making it may be tried again.
    """
    network = identity.network
    try:
        config = Config(
            rpc=[network.rpc],
            directory=network.directory,
            chain_id=network.chain_id,
            genesis="0x" + network.genesis.hex(),
            account=identity.account,
            name=settings.name,
            listen=settings.listen,
            endpoint=settings.endpoint,
            site=settings.site,
        )
    except ValueError as error:
        raise UserError(f"{error}: correct it and try again") from None
    home = Home.create(path)
    home.save_config(config)
    home.write_file(home.policy, Policy().dump().encode())
    home.write_file(home.path / ENROLMENT_FILE, encode_enrolment(identity.enrolment))
    home.write_file(home.keystore, identity.keystore.seal(passphrase))
    return home


def read_enrolment(home: Home) -> SignedEnrolment:
    """The enrolment that was signed when the home was made."""
    return decode_enrolment(home.read_file(home.path / ENROLMENT_FILE))


# --- the signed enrolment as a file of the home: public, so that `up` can relay it without the words ------------------

ENROLMENT_FILE = "enrolment.json"
ENROLMENT_FORMAT = 1


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    account: str
    node: str
    certificate_hash: bytes
    issued_at: int
    expires_at: int
    spending_limit: int
    exclusive: bool
    signature: bytes


def encode_enrolment(signed: SignedEnrolment) -> bytes:
    """The file enrolment.json."""
    e = signed.enrolment
    return msgspec.json.format(
        msgspec.json.encode(
            _File(
                format=ENROLMENT_FORMAT,
                account=e.account,
                node=e.node,
                certificate_hash=e.certificate_hash,
                issued_at=e.issued_at,
                expires_at=e.expires_at,
                spending_limit=e.spending_limit,
                exclusive=e.exclusive,
                signature=signed.signature,
            )
        ),
        indent=2,
    )


def decode_enrolment(data: bytes) -> SignedEnrolment:
    """Raises IntegrityError if it is not such a file, UnknownVersion for a newer one."""
    try:
        file = msgspec.json.decode(data, type=_File)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors, and so is a UnicodeDecodeError
        raise IntegrityError(f"enrolment.json is damaged: {error}") from None
    if file.format != ENROLMENT_FORMAT:
        raise UnknownVersion(f"enrolment.json has format {file.format}; this release knows {ENROLMENT_FORMAT}")
    return SignedEnrolment(
        Enrolment(
            account=file.account,
            node=file.node,
            certificate_hash=file.certificate_hash,
            issued_at=file.issued_at,
            expires_at=file.expires_at,
            spending_limit=file.spending_limit,
            exclusive=file.exclusive,
        ),
        file.signature,
    )


def is_enrolled(members: Sequence[MemberInfo], node: str) -> bool:
    """Whether a node key is on the chain's roster, revoked or not."""
    return any(info.key == node for member in members for info in member.nodes)


async def look_up_network(rpc: str, directory: str | None = None) -> Network:
    """Which network answers at a URL. Raises ChainUnavailable, WrongChain, ContractsMissing."""
    from peerage_chain.client import Chain  # imports web3: a second that other users of this module need not wait

    async with await Chain.connect(rpc, directory) as chain:
        return Network(rpc, chain.chain_id, chain.genesis, chain.domain.directory)


async def relay(ledger: Ledger, signed: SignedEnrolment, certificate: bytes, endpoint: str, site: str) -> bool:
    """Put the enrolment on chain unless it is there; say whether it was sent. Raises what the ledger raises."""
    if is_enrolled(await ledger.roster(), signed.enrolment.node):
        return False
    await ledger.enrol(signed.enrolment, certificate, endpoint, site, signed.signature)
    return True
