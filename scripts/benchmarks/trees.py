"""Trees to measure on: made from a seed, so that everybody has the same."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path

WORDS = [f"{a}{b}" for a in ("back", "peer", "store", "node", "chain", "leaf") for b in ("up", "age", "ing", "s", "er")]
PART_SHARE = 0.05
PART = Path("photos") / "archive.bin"
"""One file that is PART_SHARE of the tree and does not compress."""


def make_tree(directory: Path, size: int, files: int) -> None:
    """About `size` bytes in `files` files: text, binaries, what does not compress, copies, and two large files."""
    noise = random.Random(7)
    (directory / PART.parent).mkdir(parents=True)
    _write_noise(directory / PART, int(size * PART_SHARE), noise)
    _write_noise(directory / "photos" / "raw.bin", int(size * 0.15), noise)
    _write_binary(directory / "images" / "disk.img", int(size * 0.3), noise)
    small = files - 3
    left = int(size * 0.5)
    text = " ".join(noise.choice(WORDS) for _ in range(200_000)).encode()
    written: list[Path] = []
    for number in range(small):
        path = directory / f"d{number % 97:02}" / f"e{number // 97 % 41:02}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        length = min(int(noise.paretovariate(1.05) * left / small / 6), 8 << 20)
        kind = number % 10
        if kind == 9 and written:
            path.write_bytes(noise.choice(written).read_bytes())
            continue
        if kind < 6:
            start = noise.randrange(len(text) // 2)
            data = b"%d %d\n" % (number, noise.getrandbits(40)) + (text[start:] * (length // len(text) + 2))[:length]
        elif kind < 8:
            data = b"".join(noise.randbytes(24) + bytes(40) for _ in range(length // 64 + 1))
        else:
            data = noise.randbytes(length)
        path.write_bytes(data)
        if number % 50 == 0:
            written.append(path)


def make_many(directory: Path, files: int) -> None:
    """`files` small files, each of its own content, 200 in a directory."""
    for number in range(files):
        parent = directory / f"{number // 200 % 100:02}" / f"{number // 20_000:03}"
        if number % 200 == 0:
            parent.mkdir(parents=True, exist_ok=True)
            parent_fd = str(parent)
        with open(f"{parent_fd}/{number}", "wb") as file:
            file.write(b"%d " % number + b"line of text that compresses well, as most do\n" * (number % 40))


def make_flat(directory: Path, files: int) -> None:
    """One directory of `files` entries."""
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        (directory / f"entry-{number:07}").write_bytes(b"%d\n" % number)


def make_big(path: Path, size: int) -> None:
    """One file of blocks that are all different and compress to about a third."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = random.Random(11)
    _write_binary(path, size, noise)


def _write_noise(path: Path, size: int, noise: random.Random) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for at in range(0, size, 1 << 20):
            file.write(noise.randbytes(min(1 << 20, size - at)))


def _write_binary(path: Path, size: int, noise: random.Random) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    filling = bytes(range(256)) * 2731
    with path.open("wb") as file:
        for at in range(0, size, 1 << 20):
            block = noise.randbytes(350_000) + filling
            file.write(block[: min(1 << 20, size - at)].ljust(min(1 << 20, size - at), b"\0"))


def measure_tree(directory: Path) -> tuple[int, int]:
    """(files, bytes) of the regular files."""
    files = total = 0
    for base, _, names in os.walk(directory):
        for name in names:
            st = os.lstat(os.path.join(base, name))
            if stat.S_ISREG(st.st_mode):
                files, total = files + 1, total + st.st_size
    return files, total


def largest_near(directory: Path, share: float) -> tuple[Path, int]:
    """The file whose size is nearest to `share` of all bytes: (its path, its size)."""
    _, total = measure_tree(directory)
    best: tuple[float, Path, int] | None = None
    for base, _, names in os.walk(directory):
        for name in names:
            path = Path(base) / name
            if path.is_symlink() or not path.is_file():
                continue
            size = path.stat().st_size
            distance = abs(size - share * total)
            if best is None or distance < best[0]:
                best = distance, path, size
    assert best is not None, "an empty tree"
    return best[1], best[2]


def evict(*places: Path) -> None:
    """Write out what is pending, and take these files out of the page cache: nobody begins with a warm one."""
    os.sync()
    for place in places:
        for base, _, names in os.walk(place):
            for name in names:
                try:
                    fd = os.open(os.path.join(base, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                except OSError:
                    continue
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)


def size_of(directory: Path) -> int:
    """Bytes of all files below."""
    return measure_tree(directory)[1]
