"""The optional tables of config.toml."""

from __future__ import annotations

import pytest

from peerage.errors import UserError
from peerage.store.config import Config

CONFIG = Config(
    rpc=["http://127.0.0.1:8545"],
    directory="0x" + "1" * 40,
    chain_id=31337,
    genesis="0x" + "2" * 64,
    account="0x" + "3" * 40,
)

HOOKED = """
[hooks]
before_backup = [["zfs", "snapshot", "tank/data@peerage"], ["true"]]
after_backup = [["zfs", "destroy", "tank/data@peerage"]]
timeout_s = 60
"""


def test_hooks_are_read_and_written_back() -> None:
    config = Config.from_toml(CONFIG.to_toml() + HOOKED)
    assert config.hooks.before_backup == [["zfs", "snapshot", "tank/data@peerage"], ["true"]]
    assert config.hooks.timeout_s == 60
    assert Config.from_toml(config.to_toml()) == config
    assert CONFIG.hooks.before_backup == []


@pytest.mark.parametrize(
    "table",
    [
        "before_backup = [[]]",
        'before_backup = ["true"]',
        "timeout_s = 0",
        'before = [["true"]]',
        'before_backup = [[""]]',
    ],
)
def test_hooks_that_are_none_are_refused_by_name(table: str) -> None:
    with pytest.raises(UserError, match="hooks"):
        Config.from_toml(CONFIG.to_toml() + "[hooks]\n" + table)
