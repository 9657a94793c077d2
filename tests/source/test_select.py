"""What is left out, judged by git where patterns are concerned."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from peerage.errors import UserError
from peerage.source.select import CACHE_SIGNATURE, Selector, is_cache

PATTERNS = ["*.tmp", "!keep.tmp", "/build", "cache/", "doc/**/*.pdf", "a?c", "[xyz]1", "# no pattern", "", "deep/*/x"]
FILES = [
    "a.tmp", "keep.tmp", "sub/b.tmp", "build", "sub/build", "cache/one", "sub/cache/two", "doc/a.pdf", "doc/d/e/f.pdf",
    "abc", "abbc", "x1", "w1", "deep/1/x", "deep/1/2/x", "# no pattern", "sub/cache2/file",
]  # fmt: skip


def test_patterns_mean_what_git_means(tmp_path: Path) -> None:
    git = shutil.which("git")
    assert git is not None, "git is what the sources came with"
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / ".gitignore").write_text("\n".join(PATTERNS) + "\n")
    subprocess.run([git, "init", "-q", tmp_path], check=True, env={**os.environ, "HOME": str(tmp_path)})
    listed = subprocess.run(
        [git, "-c", "core.quotepath=off", "ls-files", "--others", "--exclude-standard", "-z"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    expected = {os.fsdecode(name) for name in listed.stdout.split(b"\0") if name} - {".gitignore"}
    selector = Selector(PATTERNS)

    def kept(name: str) -> bool:
        parts = Path(name).parts
        return all(
            selector.takes(os.fsencode("/".join(parts[: i + 1])), is_directory=i < len(parts) - 1)
            for i in range(len(parts))
        )

    assert {name for name in FILES if kept(name)} == expected


def test_names_that_are_no_text() -> None:
    selector = Selector(["*.bak"])
    assert not selector.takes(b"\xff\xfe.bak", is_directory=False)
    assert selector.takes(b"\xff\xfe.bat", is_directory=False)


@pytest.mark.parametrize("pattern", ["a\nb", "a\0b", "!"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(UserError):
        Selector([pattern])


def test_a_cache_is_known_by_its_signature(tmp_path: Path) -> None:
    directory = os.fsencode(tmp_path)
    assert not is_cache(directory)
    (tmp_path / "CACHEDIR.TAG").write_bytes(CACHE_SIGNATURE[:-1])
    assert not is_cache(directory)
    (tmp_path / "CACHEDIR.TAG").write_bytes(CACHE_SIGNATURE + b"\n# whose it is\n")
    assert is_cache(directory)
    assert not is_cache(directory + b"/none")
