import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peerage.errors import UserError
from peerage.snapshot.tree import EntryType
from peerage.source import read


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    fd = read.open_root(os.fsencode(tmp_path))
    yield fd
    os.close(fd)


def test_an_entry_says_all_but_the_content(tmp_path: Path, root: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    path.chmod(0o4750)
    os.utime(path, ns=(5, 1_234_567_890_123_456_789))
    os.setxattr(path, "user.k", b"v")
    entry, identity = read.read_entry(root, b"file")
    assert (entry.name, entry.type, entry.mode, entry.size) == (b"file", EntryType.FILE, 0o4750, 7)
    assert (entry.mtime_ns, entry.xattrs) == (1_234_567_890_123_456_789, {b"user.k": b"v"})
    assert (entry.uid, entry.gid) == (os.getuid(), os.getgid())
    if os.getuid() == 0:
        assert (entry.user, entry.group) == ("root", "root")
    assert identity is None
    os.link(path, tmp_path / "other")
    st = path.stat()
    assert read.read_entry(root, b"other")[1] == read.read_entry(root, b"file", st)[1] == (st.st_dev, st.st_ino)


def test_every_kind_is_told_apart(tmp_path: Path, root: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "directory").mkdir()
    os.symlink(b"to \xff", tmp_path / "symlink")
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket")
    kinds = {name: read.read_entry(root, name)[0] for name in read.scan(root)}
    assert {name: entry.type for name, entry in kinds.items()} == {
        b"directory": EntryType.DIRECTORY,
        b"fifo": EntryType.FIFO,
        b"socket": EntryType.SOCKET,
        b"symlink": EntryType.SYMLINK,
    }
    assert kinds[b"symlink"].target == b"to \xff"
    assert all(entry.size == 0 for entry in kinds.values())


def test_names_come_as_bytes_in_the_order_of_bytes(tmp_path: Path, root: int) -> None:
    for name in (b"b", b"\xff", b"a\n", "é".encode(), b"B"):
        (tmp_path / os.fsdecode(name)).touch()
    assert read.scan(root) == [b"B", b"a\n", b"b", "é".encode(), b"\xff"]
    assert read.scan_path(os.fsencode(tmp_path)) == read.scan(root)


def test_what_is_gone_or_has_changed_its_kind_is_named(tmp_path: Path, root: int) -> None:
    (tmp_path / "secret").write_text("not ours to follow")
    (tmp_path / "folder").mkdir()
    os.symlink("secret", tmp_path / "link")
    os.symlink("folder", tmp_path / "folder link")
    os.mkfifo(tmp_path / "fifo")  # must neither be read nor block us
    for action, name, reason in (
        (read.read_entry, b"gone", "No such file"),
        (read.open_file, b"gone", "No such file"),
        (read.open_file, b"link", "is no longer a regular file"),
        (read.open_file, b"fifo", "is no longer a regular file"),
        (read.open_file, b"folder", "is no longer a regular file"),
        (read.open_directory, b"folder link", "is no longer a directory"),
        (read.open_directory, b"secret", "is no longer a directory"),
        (read.open_directory, b"gone", "No such file"),
    ):
        with pytest.raises(read.Unreadable, match=reason) as caught:
            action(root, name)
        assert caught.value.path == name


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, reason in (("none", "No such file"), ("file", "Not a directory"), ("file/below", "Not a directory")):
        with pytest.raises(UserError, match=f"{name}: {reason}"):
            read.open_root(os.fsencode(tmp_path / name))
        with pytest.raises(UserError):
            read.scan_path(os.fsencode(tmp_path / name))


@pytest.mark.parametrize("relative", [False, True])
def test_a_root_may_lie_deeper_than_a_path_may_be_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = b"" if relative else os.fsencode(tmp_path)
    fd = os.open(tmp_path, os.O_RDONLY)
    for level in range(40):
        name = b"%03d" % level + b"d" * 180
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd, path = inner, os.path.join(path, name)
    with open(os.open("here", os.O_WRONLY | os.O_CREAT, dir_fd=fd), "w"):
        pass
    os.close(fd)
    assert len(path) > 7000
    assert read.scan_path(path) == [b"here"]
    with pytest.raises(UserError):
        read.open_root(path + b"/not there")


def test_reading_leaves_the_access_time_alone(tmp_path: Path, root: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    os.utime(path, ns=(1, 1))
    fd = read.open_file(root, b"file")
    assert os.read(fd, 1) == b"x"
    os.close(fd)
    assert path.stat().st_atime_ns == 1


@pytest.mark.parametrize(
    ("size", "data"),
    [
        (0, []),
        (1 << 20, []),
        (1 << 20, [(0, 4096)]),
        (1 << 20, [((1 << 20) - 4096, 4096)]),
        (3 << 20, [(0, 65536), (1 << 20, 4096), (2 << 20, 8192)]),
        (100, [(0, 100)]),
    ],
)
def test_extents_are_where_the_data_is(tmp_path: Path, root: int, size: int, data: list[tuple[int, int]]) -> None:
    with open(tmp_path / "file", "wb") as file:
        file.truncate(size)
        for offset, length in data:
            os.pwrite(file.fileno(), b"x" * length, offset)
    fd = read.open_file(root, b"file")
    assert read.data_extents(fd, size) == data
    assert read.data_extents(fd, min(size, 50)) == ([(0, 50)] if data and data[0][0] == 0 else [])
    os.close(fd)


def test_a_file_of_countless_holes_keeps_memory_bounded(
    tmp_path: Path, root: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "MAX_EXTENTS", 10)
    with open(tmp_path / "file", "wb") as file:
        for n in range(100):
            os.pwrite(file.fileno(), b"x" * 4096, n * 65536)
    fd = read.open_file(root, b"file")
    size = 99 * 65536 + 4096
    extents = read.data_extents(fd, size)
    assert extents[:9] == [(n * 65536, 4096) for n in range(9)]
    assert extents[9:] == [(9 * 65536, size - 9 * 65536)]
    os.close(fd)


def test_a_change_while_reading_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    os.utime(path, ns=(1, 1))
    before = path.stat()
    assert not read.changed(before, path.stat())
    path.write_bytes(b"after!")
    os.utime(path, ns=(1, 1))  # same size, and the time put back: the change time still tells
    assert read.changed(before, path.stat())
    (tmp_path / "new").write_bytes(b"before")
    (tmp_path / "new").rename(path)
    assert read.changed(before, path.stat())


def test_an_ordinary_user_reads_what_it_may_and_is_told_the_rest(
    tmp_path: Path, as_nobody: Callable[[Callable[[], object]], str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o755)
    for name, mode in (("open", 0o644), ("shut", 0o600)):
        (folder / name).write_text(name)
        (folder / name).chmod(mode)
    (folder / "closed").mkdir(mode=0o700)
    passage = folder / "passage"  # may be passed through, not listed
    passage.mkdir()
    (passage / "inside").mkdir()
    passage.chmod(0o711)

    def as_user() -> object:
        fd = read.open_root(os.fsencode(folder))
        found = [read.read_entry(fd, name)[0].mode for name in read.scan(fd)]
        os.close(read.open_file(fd, b"open"))
        reasons = []
        for action, name in ((read.open_file, b"shut"), (read.open_directory, b"closed")):
            try:
                action(fd, name)
            except read.Unreadable as error:
                reasons.append(error.reason)
        through = read.open_root(os.fsencode(passage))
        inside, _ = read.read_entry(through, b"inside")
        return len(found), reasons, read.scan_path(os.fsencode(passage / "inside")), inside.type.name

    assert as_nobody(as_user) == str((4, ["Permission denied", "Permission denied"], [], "DIRECTORY"))
    assert stat.S_IMODE((folder / "shut").stat().st_mode) == 0o600
