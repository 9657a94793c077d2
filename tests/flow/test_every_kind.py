"""A tree with every kind of file through the whole pipeline, over a network in memory."""

from __future__ import annotations

import os
from pathlib import Path

from tests.flow.network import network
from tests.source.copying import deep_difference
from tests.trees.compare import difference
from tests.trees.make_tree import make_tree

from peerage.flow.backup import backup
from peerage.flow.context import silent
from peerage.flow.restore import restore


async def test_every_kind_of_file_comes_back(tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    make_tree(source)
    with network(tmp_path) as (context, _, _):
        result = await backup(context, [os.fsencode(source)], silent)
        assert result.unreadable == []
        restored = await restore(context, "latest", back, [], silent)
        assert restored.failed == []
    # rsync itself cannot follow paths over 4 KiB: the part below is compared from half way down.
    assert difference(source, back / "source", "--exclude=/deep/000-*/*") == ""
    assert deep_difference(source, back / "source") == ""
    for path in (source / "sparse").iterdir():
        assert (back / "source" / "sparse" / path.name).stat().st_blocks <= path.stat().st_blocks + 16
