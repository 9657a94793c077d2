"""Where the paths that were asked for lie in a snapshot."""

from __future__ import annotations

import os
from collections.abc import Sequence

from peerage.errors import UserError
from peerage.source import read as source


class PlanNode:
    """A name on the way to a given path, with what is wanted below it; no children: it is taken whole."""

    __slots__ = ("children",)

    def __init__(self) -> None:
        self.children: dict[bytes, PlanNode] = {}


class Plan:
    """Where the given paths lie in the snapshot: one path by its base name, several by their full paths."""

    def __init__(self, paths: Sequence[bytes]) -> None:
        if not paths:
            raise UserError("nothing to back up: give at least one path")
        self.root = PlanNode()
        if len(paths) == 1 and paths[0] != b"/":
            self.prefix, name = os.path.split(paths[0])
            self.root.children[name] = PlanNode()
            return
        self.prefix = b"/"
        for path in sorted(paths, key=len):
            node, parts = self.root, [p for p in path.split(b"/") if p]
            if not parts:  # the whole machine
                parts = source.scan_path(b"/")
                self.root.children = {p: PlanNode() for p in parts}
                return
            for depth, part in enumerate(parts):
                if part in node.children and not node.children[part].children:
                    break  # lies below a path that is taken whole
                node = node.children.setdefault(part, PlanNode())
                if depth == len(parts) - 1:
                    node.children.clear()
