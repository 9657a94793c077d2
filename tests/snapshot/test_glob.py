from __future__ import annotations

import pytest

from peerage.errors import UserError
from peerage.snapshot.glob import Glob, Globs, joined, names_of


@pytest.mark.parametrize(
    ("pattern", "path", "matches", "below"),
    [
        ("*.txt", "/a/b/c.txt", True, True),
        ("*.txt", "/a/b/c.txt2", False, True),
        ("c", "/a/b/c", True, True),
        ("b/*.txt", "/a/b/c.txt", True, True),
        ("b/*.txt", "/a/c.txt", False, True),
        ("/a/*", "/a/b", True, False),
        ("/a/*", "/a/b/c", False, False),
        ("/a/*", "/a", False, True),
        ("/a/*", "/b", False, False),
        ("/a/**", "/a/b/c", True, True),
        ("/a/**/z", "/a/z", True, True),
        ("/a/**/z", "/a/b/c/z", True, True),
        ("/a/**/z", "/a/b/c", False, True),
        ("/**/**/z", "/z", True, True),
        ("?", "/\N{EURO SIGN}", True, True),
        ("[!a]x", "/ax", False, True),
        ("A.TXT", "/a.txt", False, True),
    ],
)
def test_matching(pattern: str, path: str, matches: bool, below: bool) -> None:
    names = names_of(path.encode())
    fresh, warm = Glob(pattern), Glob(pattern)
    for end in range(len(names)):
        warm.matches(names[:end])
    for glob in (fresh, warm):
        assert (glob.matches(names), glob.reaches_below(names)) == (matches, below)


def test_bytes_that_are_no_text_match_one_by_one() -> None:
    assert Glob("?x?").matches((b"\xffx\xfe",))
    assert not Glob("?").matches((b"\xff\xfe",))


def test_case_may_be_ignored_and_a_long_path_is_no_problem() -> None:
    assert Glob("READ*", ignore_case=True).matches((b"a", b"readme"))
    assert Glob("**/end").matches((*[b"d"] * 3000, b"end"))


def test_what_is_no_pattern() -> None:
    for pattern in ("", "/", "a\x00b"):
        with pytest.raises(UserError):
            Glob(pattern)
    with pytest.raises(UserError, match="too many"):
        Globs(["x"] * 1001)
    assert not Globs([])
    assert joined(names_of(b"/a//b/")) == b"/a/b"
