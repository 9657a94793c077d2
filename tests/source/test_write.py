import errno
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peerage.errors import IntegrityError, LocalFault, UserError
from peerage.snapshot.tree import Entry, EntryType
from peerage.source.descriptors import Descriptors
from peerage.source.write import Problem, Restorer


@pytest.fixture
def restorer(tmp_path: Path) -> Iterator[Restorer]:
    restorer = Restorer(tmp_path / "target")
    restorer.prepare_target()
    yield restorer
    restorer.close()


def entry(type: EntryType = EntryType.FILE, size: int = 0, **fields: object) -> Entry:
    defaults: dict[str, object] = {"mode": 0o644, "uid": os.getuid(), "gid": os.getgid()}
    return Entry(name=b"name", type=type, size=size, **{**defaults, **fields})  # type: ignore[arg-type]


def test_a_target_must_be_missing_or_empty(tmp_path: Path) -> None:
    Restorer(tmp_path / "a" / "b").prepare_target()
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    for name, reason in (("full", "is not empty"), ("file", "is not a directory"), ("file/x", "is not a directory")):
        with pytest.raises(UserError, match=reason):
            Restorer(tmp_path / name).prepare_target()


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/etc", b"a\0b"])
def test_no_name_leads_out_of_the_target(restorer: Restorer, name: bytes) -> None:
    for path in ((name,), (name, b"x"), (b"x", name)):
        for action in (
            lambda p: restorer.make_directory(p, entry(EntryType.DIRECTORY)),
            lambda p: restorer.create_file(p, entry()),
            lambda p: restorer.make_special(p, entry(EntryType.SYMLINK, target=b"/")),
        ):
            with pytest.raises(IntegrityError, match="the snapshot is damaged"):
                action(path)


def test_a_symlink_put_in_a_directorys_place_is_not_followed(restorer: Restorer, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    restorer.make_directory((b"d",), entry(EntryType.DIRECTORY))
    (tmp_path / "target" / "d").rmdir()
    os.symlink(outside, tmp_path / "target" / "d")
    restorer.write(restorer.create_file((b"d", b"f"), entry(size=1)), 0, b"x")
    handle = restorer.create_file((b"f",), entry(size=2))
    os.symlink(outside / "f", tmp_path / "target" / "f")
    restorer.write(handle, 0, b"x")
    assert not list(outside.iterdir())
    assert [p.path for p in restorer.problems] == [b"d/f", b"f"]


def test_pieces_come_in_any_order_and_holes_stay(restorer: Restorer, tmp_path: Path) -> None:
    size = 3 << 20
    handle = restorer.create_file((b"f",), entry(size=size, mode=0o400, mtime_ns=123))
    restorer.write(handle, 2 << 20, b"later")
    restorer.write(handle, 0, b"first")
    restorer.finish_file(handle)
    path = tmp_path / "target" / "f"
    assert path.read_bytes() == b"first".ljust(2 << 20, b"\0") + b"later".ljust(1 << 20, b"\0")
    assert path.stat().st_blocks * 512 < 100_000
    assert path.stat().st_mtime_ns == 123
    restorer.write(handle, 0, b"first")  # a pack that was read twice
    assert path.stat().st_mtime_ns == 123
    empty = restorer.create_file((b"empty",), entry())
    assert not (tmp_path / "target" / "empty").exists()
    restorer.finish_file(empty)
    assert (tmp_path / "target" / "empty").stat().st_size == 0


def test_few_descriptors_serve_many_files(tmp_path: Path) -> None:
    restorer = Restorer(tmp_path / "target", max_open_files=3, max_open_directories=2)
    restorer.prepare_target()
    for d in range(10):
        restorer.make_directory((b"%d" % d,), entry(EntryType.DIRECTORY))
    handles = [restorer.create_file((b"%d" % (n % 10), b"%d" % n), entry(size=2)) for n in range(100)]
    before = len(os.listdir("/proc/self/fd"))
    for offset, byte in ((1, b"b"), (0, b"a")):
        for handle in handles:
            restorer.write(handle, offset, byte)
            assert len(os.listdir("/proc/self/fd")) <= before + 5
    for handle in handles:
        restorer.finish_file(handle)
    restorer.close()
    assert all((tmp_path / "target" / str(n % 10) / str(n)).read_bytes() == b"ab" for n in range(100))
    assert len(os.listdir("/proc/self/fd")) <= before - 1


def test_names_that_the_file_system_takes_for_one_are_named(restorer: Restorer) -> None:
    for _ in range(2):
        restorer.make_directory((b"d",), entry(EntryType.DIRECTORY))
    restorer.make_special((b"d",), entry(EntryType.FIFO))
    taken = "was not restored: this file system takes its name for that of another entry"
    assert restorer.problems == [Problem(b"d", taken)] * 2


def test_a_directory_that_cannot_be_made_is_one_problem(restorer: Restorer) -> None:
    restorer.make_directory((b"x" * 256,), entry(EntryType.DIRECTORY))
    restorer.make_directory((b"x" * 256, b"d"), entry(EntryType.DIRECTORY))
    handle = restorer.create_file((b"x" * 256, b"f"), entry(size=1))
    restorer.write(handle, 0, b"x")
    restorer.finish_file(handle)
    restorer.finish_directory((b"x" * 256,), entry(EntryType.DIRECTORY))
    assert restorer.problems == [Problem(b"x" * 256, "was not restored: File name too long")]


def test_a_link_to_what_was_not_restored_is_a_problem(restorer: Restorer) -> None:
    restorer.make_link((b"b",), entry(links=1))
    lost = restorer.create_file((b"y" * 256,), entry(size=1, links=2))
    restorer.write(lost, 0, b"x")
    restorer.make_link((b"c",), entry(links=2))
    assert [p.what for p in restorer.problems if p.path in (b"b", b"c")] == [
        "was not linked: the file it shares was not restored"
    ] * 2


def test_a_full_disk_ends_the_restore(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("mounting a file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    restorer = Restorer(disk / "target")
    try:
        restorer.prepare_target()
        handle = restorer.create_file((b"f",), entry(size=2 << 20))
        with pytest.raises(LocalFault, match=r"cannot be written \(No space left on device\): free some space"):
            restorer.write(handle, 0, bytes(2 << 20))
    finally:
        restorer.close()
        subprocess.run(["umount", disk], check=True)


def test_the_list_of_problems_is_bounded(restorer: Restorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peerage.source.write.MAX_PROBLEMS", 3)
    for n in range(5):
        restorer.make_link((b"%d" % n,), entry(links=9))
    assert (len(restorer.problems), restorer.problem_count) == (3, 5)


def test_an_owner_is_found_by_name_before_number(restorer: Restorer, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("giving files away needs root")
    for name, user, number, expected in (
        (b"a", "daemon", 54321, 1),  # the same name has another number here
        (b"b", "nobody-has-this-name", 54321, 54321),
        (b"c", "", 54321, 54321),
    ):
        restorer.finish_file(restorer.create_file((name,), entry(uid=number, user=user, gid=number, group=user)))
        st = (tmp_path / "target" / os.fsdecode(name)).stat()
        assert (st.st_uid, st.st_gid) == (expected, expected)
    assert restorer.problems == []


def test_an_ordinary_user_gets_what_it_may_have_and_a_list_of_the_rest(
    tmp_path: Path, as_nobody: Callable[[Callable[[], object]], str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    mine: dict[str, Any] = {"uid": 65534, "gid": 65534}

    def as_user() -> object:
        restorer = Restorer(home / "target")
        restorer.prepare_target()
        restorer.make_directory((b"d",), entry(EntryType.DIRECTORY))
        files = {
            b"mine": entry(size=1, mode=0o400, xattrs={b"user.k": b"v"}, mtime_ns=5, **mine),
            b"roots": entry(size=1, mode=0o6755, mtime_ns=6, uid=0, gid=0, user="root", group="root"),
            b"group": entry(size=1, mode=0o2750, uid=65534, gid=12),
            b"trusted": entry(size=1, xattrs={b"trusted.k": b"v"}, **mine),
            b"nothing": entry(size=2, mode=0o000, **mine),
        }
        for name, file in files.items():
            handle = restorer.create_file((b"d", name), file)
            restorer.write(handle, file.size - 1, b"x")
            restorer.finish_file(handle)
        restorer.make_special((b"d", b"device"), entry(EntryType.CHAR, rdev=os.makedev(1, 3)))
        restorer.make_special((b"d", b"fifo"), entry(EntryType.FIFO, mode=0o640, mtime_ns=7, **mine))
        restorer.finish_directory((b"d",), entry(EntryType.DIRECTORY, mode=0o500, mtime_ns=8, **mine))
        restorer.finish()
        restorer.close()
        return sorted((p.path.decode(), p.what) for p in restorer.problems)

    problems = as_nobody(as_user)
    assert problems == str(
        [
            ("d/device", "was not restored: Operation not permitted"),
            ("d/roots", "its group root was not restored: only root, or a member of it, may set it"),
            ("d/roots", "its owner root was not restored: only root may give files away"),
            ("d/trusted", "its attribute trusted.k could not be restored: Operation not permitted"),
        ]
    )
    folder = home / "target" / "d"
    st = {p.name: p.stat() for p in [folder, *folder.iterdir()]}
    modes = {name: stat.S_IMODE(s.st_mode) for name, s in st.items()}
    assert modes == {
        "d": 0o500, "mine": 0o400, "roots": 0o755, "group": 0o2750, "trusted": 0o644, "nothing": 0, "fifo": 0o640,
    }, "setuid and setgid bits must not lend our own rights instead of root's"  # fmt: skip
    assert st["group"].st_gid == 12
    assert (st["mine"].st_mtime_ns, st["roots"].st_mtime_ns, st["fifo"].st_mtime_ns, st["d"].st_mtime_ns) == (
        5,
        6,
        7,
        8,
    )
    assert os.getxattr(folder / "mine", "user.k") == b"v"
    assert not (folder / "device").exists()


def test_a_borrowed_descriptor_stays_open_until_it_is_given_back(tmp_path: Path) -> None:
    descriptors = Descriptors(1)
    opened = []

    def opener() -> int:
        opened.append(os.open(tmp_path, os.O_RDONLY))
        return opened[-1]

    with descriptors.borrow("a", opener) as a:
        with descriptors.borrow("b", opener) as b, descriptors.borrow("a", opener) as again:
            assert a == again != b
            descriptors.drop("a")
            os.fstat(a)
        os.fstat(a)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(a)
    descriptors.close()
    assert len(opened) == 2
    assert len(descriptors) == 0
