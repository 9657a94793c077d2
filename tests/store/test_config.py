"""The optional tables of config.toml."""

from __future__ import annotations

from datetime import time

import pytest

from peerage.errors import UserError
from peerage.model.timetable import At, Every
from peerage.store.config import Config
from peerage.store.config_tables import Limit

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


SCHEDULED = """
[[schedule]]
name = "documents"
do = "backup"
every = "15m"
jitter = "2m"
with = { paths = ["/srv"], tags = ["auto"] }

[[schedule]]
do = "forget"
at = "02:30"
on = ["sat", "sun"]

[schedule.with]
policy = "1d:15m,7d:1h"
"""


def test_a_schedule_is_read_and_written_back() -> None:
    config = Config.from_toml(CONFIG.to_toml() + SCHEDULED)
    documents, forget = config.schedule
    assert (documents.called, documents.when, documents.jitter_s) == ("documents", Every(900), 120)
    assert documents.params == {"paths": ["/srv"], "tags": ["auto"]}
    assert (forget.called, forget.when) == ("forget", At(time(2, 30), frozenset([5, 6])))
    assert Config.from_toml(config.to_toml()) == config


@pytest.mark.parametrize(
    "job",
    [
        'do = "backup"',
        'do = "backup"\nevery = "1h"\nat = "02:30"',
        'do = "backup"\nevery = "1M"',
        'do = "backup"\nat = "2:30"',
        'do = "backup"\nat = "02:30"\non = ["someday"]',
        'do = "backup"\nevery = "1h"\non = ["sun"]',
        'do = "backup"\nevery = "15m"\njitter = "15m"',
        'do = "backup"\nat = "02:30"\njitter = "1d"',
        'do = ""\nevery = "1h"',
        'name = "a b"\ndo = "backup"\nevery = "1h"',
        'do = "backup"\nevery = "1h"\npaths = ["/srv"]',
        'do = "backup"\nevery = "1h"\n[[schedule]]\ndo = "backup"\nevery = "2h"',
    ],
)
def test_jobs_that_are_none_are_refused(job: str) -> None:
    with pytest.raises(UserError, match="schedule"):
        Config.from_toml(CONFIG.to_toml() + "[[schedule]]\n" + job)


def test_limits_are_read_and_written_back() -> None:
    text = 'limits = [{from = "08:00", to = "18:00", up = "2MB/s"}, {down = "500KiB/s"}]\n'
    config = Config.from_toml(CONFIG.to_toml() + text)
    assert config.limits == [Limit(from_="08:00", to="18:00", up="2MB/s"), Limit(down="500KiB/s")]
    assert Config.from_toml(config.to_toml()) == config
    with pytest.raises(UserError, match="limits"):
        Config.from_toml(CONFIG.to_toml() + 'limits = [{up = "1KB/s"}]\n')
