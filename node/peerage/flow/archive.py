"""walk -> cut -> seal: a tree of files becomes blobs, in threads.

One walker thread lists directories and opens files; lanes (worker processes) read, cut and compress them, and a thread
for each lane seals what comes back. A directory's tree blob is made by whichever thread finishes its last child, so
nobody waits for anybody, and memory holds only open directories.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from peerage.flow.found import Directory, Found
from peerage.flow.lanes import Lanes, Stored
from peerage.flow.links import HardLinks, Turn
from peerage.flow.packer import Packer
from peerage.flow.plan import Plan, PlanNode
from peerage.flow.progress import Progress
from peerage.model import BlobKind, ChunkId
from peerage.snapshot.tree import Entry, EntryType, encode_tree
from peerage.source import read as source
from peerage.source.select import Selector
from peerage.source.stream import is_sparse
from peerage.store.catalogue import Catalogue, FileState

_OPEN_FILES = 256  # files opened by the walker and not yet taken by a worker
_BATCH_FILES = 32
_BATCH_BYTES = 1 << 20
_RACY_NS = 20_000_000  # a file changed this shortly before it was read may change again unseen: do not trust its times


class Stopped(Exception):
    """Another part of the backup failed; its error is the one to report."""


class Archiver:
    """Archives source paths into the packers. `run` blocks; call it in a thread.

    Raises UserError for a source path that is not there; a file inside a tree that cannot be read is only listed in
    `progress`. `stop` makes every thread give up soon.
    """

    def __init__(
        self,
        data: Packer,
        meta: Packer,
        catalogue: Catalogue,
        lanes: Lanes,
        progress: Progress,
        threads: int,
        run: int,
        untrusted: Collection[int],
        selector: Selector,
    ) -> None:
        self._data = data
        self._meta = meta
        self._catalogue = catalogue
        self._lanes = lanes
        self._progress = progress
        self._run = run
        self._untrusted = untrusted
        self._selector = selector
        self._lock = threading.Lock()
        self._open = threading.BoundedSemaphore(_OPEN_FILES)
        self._pool = ThreadPoolExecutor(threads, "archive")
        self._batch: list[tuple[Found, int]] = []
        self._batch_bytes = 0
        self._stopped = False
        self._error: BaseException | None = None
        self._links: HardLinks[Found] = HardLinks()
        self._states: list[tuple[bytes, FileState]] = []
        self._finished = threading.Event()
        self._root = b""

    def stop(self) -> None:
        self._stopped = True
        self._lanes.stop()
        self._finished.set()

    def run(self, paths: Sequence[bytes]) -> tuple[bytes, bytes]:
        """Archive absolute `paths`; returns (ids of the root tree's blobs, the prefix that source paths have)."""
        try:
            plan = Plan(paths)
            top = Directory(None, Entry(name=b"", type=EntryType.DIRECTORY))
            self._walk_plan(plan.root, plan.prefix, top)
            self._submit_batch()
            self._child_done(top, None)
            while not self._finished.wait(0.2):
                if self._error is not None:
                    raise self._error
            if self._error is not None:
                raise self._error
            if self._stopped:
                raise Stopped
            self._save_states()
            return self._root, plan.prefix
        except BaseException:
            self._stopped = True
            self._lanes.stop()
            raise
        finally:
            self._pool.shutdown(wait=True)
            self._lanes.close()

    # -- the walker --------------------------------------------------------------------------------------------------

    def _walk_plan(self, node: PlanNode, path: bytes, directory: Directory) -> None:
        """Directories above the given paths hold only what leads to these."""
        parent_fd = source.open_root(path)
        try:
            for name, child in sorted(node.children.items()):
                child_path = path.rstrip(b"/") + b"/" + name
                if child.children:
                    entry, _ = source.read_entry(parent_fd, name)
                    inner = self._enter(directory, entry)
                    self._walk_plan(child, child_path, inner)
                    self._child_done(inner, None)
                else:
                    self._visit(parent_fd, name, child_path, directory)
        finally:
            os.close(parent_fd)

    def _enter(self, parent: Directory, entry: Entry) -> Directory:
        self._expect(parent)
        self._progress.directories += 1
        return Directory(parent, entry)

    def _visit(self, dir_fd: int, name: bytes, path: bytes, parent: Directory) -> None:
        """One given path: everything below it, depth first, with an explicit stack (trees may be deep)."""
        stack: list[tuple[int, bytes, Iterator[bytes], Directory]] = []
        try:
            root = self._stat(dir_fd, name, path)
            opened = root and self._one(dir_fd, name, path, parent, root, root.st_dev)
            if opened:
                stack.append((opened[0], path, iter(opened[1]), opened[2]))
            while stack:
                if self._stopped:
                    raise self._error or Stopped
                fd, base, names, directory = stack[-1]
                child = next(names, None)
                if child is None:
                    stack.pop()
                    os.close(fd)
                    self._child_done(directory, None)
                    continue
                child_path = base + b"/" + child if base != b"/" else b"/" + child
                st = self._stat(fd, child, child_path)
                if st is None:
                    continue
                if not self._selector.takes(child_path[len(path) :].lstrip(b"/"), stat.S_ISDIR(st.st_mode)):
                    self._progress.excluded += 1
                    continue
                assert root is not None
                opened = self._one(fd, child, child_path, directory, st, root.st_dev)
                if opened:
                    stack.append((opened[0], child_path, iter(opened[1]), opened[2]))
        finally:
            for fd, *_ in stack:
                os.close(fd)

    def _stat(self, dir_fd: int, name: bytes, path: bytes) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        except OSError as error:
            self._unreadable(path, error)
            return None

    def _one(
        self, dir_fd: int, name: bytes, path: bytes, parent: Directory, st: os.stat_result, root_device: int
    ) -> tuple[int, list[bytes], Directory] | None:
        """One name; a directory is opened and returned with its names, the rest is dealt with or queued."""
        try:
            entry, identity = source.read_entry(dir_fd, name, st)
            if stat.S_ISDIR(st.st_mode):
                fd = source.open_directory(dir_fd, name)
                try:
                    crosses = self._selector.crosses(st.st_dev, root_device)
                    names = [] if crosses else self._selector.inside(fd, source.scan(fd))
                except OSError:
                    os.close(fd)
                    raise
                return fd, names, self._enter(parent, entry)
            if stat.S_ISREG(st.st_mode):
                self._expect(parent)
                self._take_file(Found(parent, entry, path, st), dir_fd, name)
            elif entry.type is not EntryType.SOCKET:
                if identity is not None:
                    entry.links = self._links.number(identity)
                self._expect(parent)
                self._progress.files += 1
                self._child_done(parent, entry)
        except (OSError, source.Unreadable) as error:
            self._unreadable(path, error)
        return None

    def _take_file(self, found: Found, dir_fd: int, name: bytes) -> None:
        """One regular file: known already, or another name of one that is, or opened and queued."""
        entry, st = found.entry, found.before
        if st.st_nlink > 1:
            entry.links, turn, first = self._links.join(found.identity, found)
            if turn is Turn.WAIT:
                return
            if first is not None:
                self._finish_link(first, found)
                return
        try:
            if self._unchanged(found, dir_fd, name):
                self._progress.files += 1
                self._progress.size += st.st_size
                self._file_done(found)
                return
            self._open.acquire()
            try:
                fd = source.open_file(dir_fd, name)
            except BaseException:
                self._open.release()
                raise
        except (OSError, source.Unreadable) as error:
            self._file_failed(found, error)
            return
        source.read_ahead(fd, st.st_size)
        self._batch.append((found, fd))
        self._batch_bytes += st.st_size
        if len(self._batch) >= _BATCH_FILES or self._batch_bytes >= _BATCH_BYTES:
            self._submit_batch()

    def _unchanged(self, found: Found, dir_fd: int, name: bytes) -> bool:
        """Whether the catalogue knows this file as it is now; then its entry gets the content."""
        known, st = self._catalogue.file_state(found.path), found.before
        if known is None or not known.is_current(source.facts(st), self._untrusted):
            return False
        entry = found.entry
        if is_sparse(st):
            fd = source.open_file(dir_fd, name)
            try:
                extents = source.data_extents(fd, st.st_size)
            finally:
                os.close(fd)
            entry.extents = extents if extents != [(0, st.st_size)] else []
        entry.content, entry.depth, entry.size = known.content, known.depth, st.st_size
        return True

    def _submit_batch(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if batch:
            self._pool.submit(self._store_batch, batch)

    # -- the workers -------------------------------------------------------------------------------------------------

    def _store_batch(self, batch: list[tuple[Found, int]]) -> None:
        """One batch through a lane. The lane's trouble ends the backup, a file's own is told of that file."""
        try:
            with self._closing(batch):
                if self._stopped:
                    return
                with self._lanes.borrow() as lane:
                    lane.send([(fd, found.before) for found, fd in batch])
                    for found, _ in batch:
                        self._progress.current = found.path
                        try:
                            stored = lane.receive(self._keep)
                        except OSError as error:
                            self._file_failed(found, error)
                        else:
                            self._store_file(found, stored)
        except BaseException as error:
            self._fail(error)

    @contextmanager
    def _closing(self, batch: list[tuple[Found, int]]) -> Iterator[None]:
        try:
            yield
        finally:
            for _, fd in batch:
                os.close(fd)
                self._open.release()

    def _keep(self, id: ChunkId, raw_length: int, payload: memoryview | None) -> None:
        self._data.store_payload(BlobKind.DATA, id, raw_length, payload)

    def _store_file(self, file: Found, stored: Stored) -> None:
        entry, size, ids = file.entry, file.before.st_size, stored.ids
        entry.size = stored.read
        if stored.extents is not None:
            entry.size, entry.extents = size, stored.extents
        changed = stored.after != source.facts(file.before)
        if changed:
            self._progress.changed.append(file.path)
        entry.content, entry.depth = self._meta.store_content(ids)
        if not changed and file.before.st_ctime_ns < stored.started_ns - _RACY_NS:
            state = FileState(*stored.after, entry.depth, entry.content, self._run)
            with self._lock:
                self._states.append((file.path, state))
                full = len(self._states) >= 2000
            if full:
                self._save_states()
        self._progress.files += 1
        self._progress.size += size
        self._progress.size_read += stored.read
        self._file_done(file)

    # -- putting it together -----------------------------------------------------------------------------------------

    def _file_done(self, found: Found) -> None:
        if found.entry.links:
            for other in self._links.done(found.identity, found.entry):
                self._finish_link(found.entry, other)
        self._child_done(found.directory, found.entry)

    def _finish_link(self, first: Entry, found: Found) -> None:
        entry = found.entry
        entry.links, entry.content, entry.depth = first.links, first.content, first.depth
        entry.size, entry.extents = first.size, first.extents
        self._progress.files += 1
        self._child_done(found.directory, entry)

    def _file_failed(self, found: Found, error: Exception) -> None:
        self._unreadable(found.path, error)
        if found.entry.links:
            for other in self._links.failed(found.identity):
                self._progress.unreadable.append((other.path, "another name of the same file could not be read"))
                self._child_done(other.directory, None)
        self._child_done(found.directory, None)

    def _expect(self, directory: Directory) -> None:
        """One more child is coming: said before anybody else can see it."""
        with self._lock:
            directory.waiting += 1

    def _child_done(self, directory: Directory | None, entry: Entry | None) -> None:
        """A child (or, with None, the walker or a child that cannot be kept) is done with `directory`."""
        try:
            while directory is not None:
                with self._lock:
                    if entry is not None:
                        directory.children.append(entry)
                    directory.waiting -= 1
                    if directory.waiting:
                        return
                directory.children.sort(key=_name)
                blobs = encode_tree(directory.children)
                subtree = b"".join(self._meta.store(BlobKind.TREE, blob) for blob in blobs)
                directory.children = []
                entry = directory.entry
                entry.subtree = subtree
                directory = directory.parent
            self._root = subtree
            self._finished.set()
        except BaseException as error:
            self._fail(error)

    def _save_states(self) -> None:
        """States may be kept before their blobs are stored: those of a run that did not end well are not trusted."""
        with self._lock:
            states, self._states = self._states, []
        self._catalogue.set_file_states(states)

    def _unreadable(self, path: bytes, error: Exception) -> None:
        if isinstance(error, source.Unreadable):
            reason = error.reason  # its own text has the bare name in front
        else:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self._progress.unreadable.append((path, reason))

    def _fail(self, error: BaseException) -> None:
        if self._error is None and not self._stopped:
            self._error = error
        self._stopped = True
        self._lanes.stop()
        self._finished.set()


def _name(entry: Entry) -> bytes:
    return entry.name
