"""How a node joins: it finds its chain, its member on it, and has its key enrolled.

While the chain is away a node starts with what it saw of it last (home.md, chain.json): it serves its peers and its
owner, and everything that must be on chain waits.
"""

from __future__ import annotations

import asyncio

import structlog

from peerage.errors import LocalFault
from peerage.flow import enrol
from peerage.keys.keystore import Keystore
from peerage.store.home import Home
from peerage_chain import remembered, typed
from peerage_chain.client import Chain
from peerage_chain.errors import ChainFault, ChainUnavailable
from peerage_chain.remembered import Remembered
from peerage_chain.types import AgreementInfo, ChainTime, MemberInfo, NodeInfo

CONNECT_EVERY_S = 2.0

log = structlog.get_logger()


class Joining:
    """One home's way into its network. roster: the members as they were read last, a new object when it changed."""

    def __init__(self, home: Home, keystore: Keystore) -> None:
        self._home = home
        self._keystore = keystore
        self._config = home.config()
        self.node = typed.address_of(keystore.node_key)
        self.roster: tuple[MemberInfo, ...] = ()

    # --- the chain ----------------------------------------------------------------------------------------------------

    async def connect(self) -> tuple[Chain, Remembered | None]:
        """Whichever endpoint answers; or what is remembered, when none does: `confirm` it then.

        Without either it waits. A wrong chain or missing contracts end the node with that error.
        """
        config = self._config
        genesis = bytes.fromhex(config.genesis.removeprefix("0x"))
        key = self._keystore.node_key
        told = False
        while True:
            try:
                return await Chain.connect(config.rpc, config.directory, config.chain_id, genesis, key), None
            except ChainUnavailable as error:
                last = self._remembered()
                if last is not None:
                    log.warning("the chain is away: starting with what was seen of it last", reason=str(error))
                    self.roster = last.roster
                    return Chain.from_memory(config.rpc, last, key), last
                if not told:
                    log.warning("waiting for the chain", reason=str(error))
                    told = True
            await asyncio.sleep(CONNECT_EVERY_S)

    @staticmethod
    async def confirm(chain: Chain) -> None:
        """Return once the chain that was remembered is there and the same. Raises as connect does."""
        while True:
            try:
                await chain.confirm()
            except ChainUnavailable:
                await asyncio.sleep(CONNECT_EVERY_S)
                continue
            log.info("the chain is back, and it is ours")
            return

    def _remembered(self) -> Remembered | None:
        """What `remember` wrote last for this very network and a member of it; a file that is none is no help."""
        try:
            last = remembered.decode(self._home.read_file(self._home.chain))
        except (LocalFault, ValueError):
            return None
        config = self._config
        ours = (config.chain_id, config.directory, config.genesis.removeprefix("0x").lower())
        if (last.chain_id, last.directory, last.genesis.hex()) != ours:
            return None
        known = any(m.account == config.account and enrol.is_enrolled([m], self.node) for m in last.roster)
        return last if known else None

    def remember(self, chain: Chain, time: ChainTime, provided: tuple[AgreementInfo, ...], head: int) -> None:
        """Write what a start without the chain needs. Blocks on the disk. Raises LocalFault."""
        found = chain.contracts
        last = Remembered(
            chain_id=chain.chain_id,
            directory=self._config.directory,
            genesis=found.genesis,
            params=found.params,
            addresses=found.addresses,
            roster=self.roster,
            time=time,
            provided=provided,
            head=head,
        )
        self._home.write_file(self._home.chain, remembered.encode(last))

    # --- the member and its key ---------------------------------------------------------------------------------------

    async def refresh(self, chain: Chain) -> None:
        """Take in the newest roster. Raises what the ledger raises."""
        self.roster = tuple(await chain.roster())

    @property
    def member(self) -> MemberInfo:
        """This node's member on the roster; only after until_admitted."""
        return next(m for m in self.roster if m.account == self._config.account)

    @property
    def _ours(self) -> NodeInfo | None:
        members = [m for m in self.roster if m.account == self._config.account]
        return next((n for m in members for n in m.nodes if n.key == self.node), None)

    @property
    def is_revoked(self) -> bool:
        return any(n.key == self.node and n.revoked for m in self.roster for n in m.nodes)

    async def until_admitted(self, chain: Chain) -> None:
        """Return once the home's account is a member's."""
        told = False
        while not self._is_member():
            try:
                await self.refresh(chain)
                if self._is_member():
                    return
                if not told:
                    account = self._config.account
                    log.warning("not a member yet: ask the consortium to admit this account", account=account)
                    told = True
            except ChainFault as error:
                log.warning("cannot read the members", reason=str(error))
            await asyncio.sleep(1)

    def _is_member(self) -> bool:
        return any(m.account == self._config.account for m in self.roster)

    async def until_enrolled(self, chain: Chain, endpoint: str) -> None:
        """Relay our enrolment once, and tell the chain where we are when that has changed.

        Returns without the chain when it knows the key already: `stay_enrolled` tells it the rest later.
        """
        signed = enrol.read_enrolment(self._home)
        certificate, site = self._keystore.certificate_der, self._config.site
        while True:
            try:
                await enrol.relay(chain, signed, certificate, endpoint, site)
                await self.refresh(chain)
                await self._announce(chain, endpoint)
                return
            except ChainUnavailable as error:
                if self._ours is not None:
                    return
                log.warning("cannot enrol yet", reason=str(error))
                await asyncio.sleep(CONNECT_EVERY_S)

    async def stay_enrolled(self, chain: Chain, endpoint: str) -> None:
        """A chain that came back from an older state may have forgotten us: enrol again. Revoked keys stay listed."""
        if not self._is_member():
            log.error("the chain no longer knows this member: ask the consortium", account=self._config.account)
        elif self._ours is None:
            log.warning("the chain has forgotten this node's key: enrolling it again")
            await self.until_enrolled(chain, endpoint)
        else:
            await self._announce(chain, endpoint)

    async def _announce(self, chain: Chain, endpoint: str) -> None:
        ours = self._ours
        if ours is not None and not ours.revoked and (ours.endpoint, ours.site) != (endpoint, self._config.site):
            await chain.announce(endpoint, self._config.site)
