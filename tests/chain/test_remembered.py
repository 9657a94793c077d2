"""What a node remembers of its chain: enough to start with while it is away, and never for another chain."""

from __future__ import annotations

import dataclasses
import secrets
from pathlib import Path

import pytest
from tests.chain.network import free_port, start
from tests.chain.test_endpoints import chain as bare_chain

from peerage_chain import remembered
from peerage_chain import rpc as rpc_module
from peerage_chain.client import Chain
from peerage_chain.errors import ChainUnavailable, WrongChain
from peerage_chain.remembered import Remembered


async def test_memory_serves_until_the_chain_is_back_and_refuses_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_module, "BACKOFF_S", 0.01)
    network = await start(tmp_path / "chain")
    try:
        observer = network.observer
        roster, now = tuple(await observer.roster()), await observer.now()
        found = observer.contracts
        seen = Remembered(
            observer.chain_id,
            observer.domain.directory,
            found.genesis,
            found.params,
            found.addresses,
            roster,
            now,
            (),
            3,
        )
        assert remembered.decode(remembered.encode(seen)) == seen

        async with Chain.from_memory(f"http://127.0.0.1:{free_port()}", seen, secrets.token_bytes(32)) as away:
            assert (away.domain, away.params, away.known_roster()) == (observer.domain, observer.params, roster)
            with pytest.raises(ChainUnavailable):
                await away.now()
            with pytest.raises(ChainUnavailable):
                await away.confirm()

        stale = dataclasses.replace(seen, addresses=dict.fromkeys(found.addresses, observer.domain.directory))
        async with Chain.from_memory(network.url, stale, secrets.token_bytes(32)) as back:
            await back.confirm()
            assert back.contracts.addresses == found.addresses, "contracts that changed meanwhile are found"
            assert tuple(await back.roster()) == roster

        async with (
            bare_chain(tmp_path / "other") as other,
            Chain.from_memory(other.url, seen, secrets.token_bytes(32)) as stranger,
        ):
            with pytest.raises(WrongChain, match="another chain answers"):
                await stranger.now()
    finally:
        await network.close()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "truncated"),
        (b"{}", "missing required field"),
        (b"[" * 100_000, "Expected `object`|nested too deep"),
        (b"\xff", "malformed"),
        (b'{"format": 1}', "missing required field"),
    ],
)
def test_a_file_that_is_none(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        remembered.decode(data)
