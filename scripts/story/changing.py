"""A tree of files that changes, and what it held."""

from __future__ import annotations

import random
import time
from hashlib import sha256
from pathlib import Path

FILES = 200
SIZES = (0, 10, 3_000, 200_000, 2_000_000)
LARGE_BYTES = 24 << 20


class Tree:
    """Made once, then changed a little each time."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root = root
        self._rng = rng
        root.mkdir(parents=True)
        for _ in range(FILES):
            self._write()
        (root / "large").write_bytes(rng.randbytes(LARGE_BYTES))

    def change(self) -> None:
        for _ in range(self._rng.randrange(1, 8)):
            self._write()
        if self._rng.random() < 0.2:
            (self.root / "large").write_bytes(self._rng.randbytes(LARGE_BYTES))
        time.sleep(0.05)  # a file changed just before it is read is not trusted by its times

    def manifest(self) -> dict[str, str]:
        return self.manifest_of(self.root)

    @staticmethod
    def manifest_of(root: Path) -> dict[str, str]:
        """SHA-256 by relative path of every file below."""
        files = (p for p in root.rglob("*") if p.is_file())
        return {str(p.relative_to(root)): sha256(p.read_bytes()).hexdigest() for p in files}

    def _write(self) -> None:
        path = self.root / f"d{self._rng.randrange(8)}" / f"f{self._rng.randrange(400)}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self._rng.randbytes(self._rng.choice(SIZES)))
