"""Where every credit is: what the clearing contract owes to whom, against the tokens that it holds. Needs no key."""

from __future__ import annotations

from typing import Any, TypedDict

from peerage_chain.audit import credits_text
from peerage_chain.codec import docket_of
from peerage_chain.reads import ChainReads
from peerage_chain.types import DocketState

PAGE = 200
"""Views in one request."""


class MoneyReport(TypedDict):
    """All credits in the network at one block, decimal strings.

    accounts, escrow, collateral (pay that waits for a valid proof is part of the escrow), contested (penalties that may
    still be appealed against or decided on) and demands (deposits) are added up one by one; sum is all of it, total
    what the contract says it owes, tokens what it holds, supply all that there are. verified: the sum is the total, and
    the tokens are there to the last unit.
    """

    block: int
    epoch: int
    accounts: str
    escrow: str
    collateral: str
    contested: str
    demands: str
    sum: str
    total: str
    tokens: str
    supply: str
    verified: bool


async def audit_money(chain: ChainReads) -> MoneyReport:
    """Add up every account, escrow and collateral, all read at the newest block."""
    now = await chain.now()
    contracts = chain.contracts

    async def read(calls: list[tuple[str, str, tuple[Any, ...]]]) -> list[Any]:
        pages = [calls[i : i + PAGE] for i in range(0, len(calls), PAGE)]
        return [answer for page in pages for answer in await contracts.read_many(page, now.block)]

    clearing = contracts.addresses["Clearing"]
    members, agreements, reserved, total, tokens, supply = await read(
        [
            ("Members", "count", ()),
            ("Agreements", "count", ()),
            ("Clearing", "reserved", ()),
            ("Clearing", "total", ()),
            ("Credit", "balanceOf", (clearing,)),
            ("Credit", "totalSupply", ()),
        ]
    )
    accounts = sum(await read([("Clearing", "balanceOf", (id,)) for id in range(1, members + 1)]))
    ids = await read([("Agreements", "at", (index,)) for index in range(agreements)])
    ledgers = await read([("Clearing", "ledgerOf", (id,)) for id in ids])
    contested = [id for id, ledger in zip(ids, ledgers, strict=True) if ledger["dockets"]]
    dockets = [
        docket_of(raw) for page in await read([("Clearing", "docketsOf", (id,)) for id in contested]) for raw in page
    ]
    waiting = sum(
        docket.to_client + docket.burned
        for docket in dockets
        if docket.state in (DocketState.OPEN, DocketState.APPEALED)
    )
    escrow, collateral = (sum(ledger[name] for ledger in ledgers) for name in ("escrow", "collateral"))
    found = accounts + escrow + collateral + waiting + reserved
    return MoneyReport(
        block=now.block,
        epoch=now.epoch,
        accounts=credits_text(accounts),
        escrow=credits_text(escrow),
        collateral=credits_text(collateral),
        contested=credits_text(waiting),
        demands=credits_text(reserved),
        sum=credits_text(found),
        total=credits_text(total),
        tokens=credits_text(tokens),
        supply=credits_text(supply),
        verified=found == total == tokens <= supply,
    )
