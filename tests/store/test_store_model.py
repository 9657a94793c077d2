"""The object store against a model of a few dictionaries: any order of uploads, revisions, drops and restarts."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from peerage.model import AgreementId, Epoch, MemberId, ShardRoot
from peerage.store import refusals
from peerage.store.objects import ObjectStore, SignedRevision

OWNER = MemberId(7)
AGREEMENT = AgreementId(b"\xa7" * 32)
CAPACITY = 40 * 1024
numbers = st.integers(0, 15)


def root_of(n: int) -> ShardRoot:
    return ShardRoot(hashlib.sha256(bytes([n])).digest())


def leaves_of(n: int) -> int:
    return n % 4 + 1


class Store(RuleBasedStateMachine):
    """stored: numbers of objects as they came. revisions: digest -> (sequence, previous, all the objects under it)."""

    @initialize()
    def start(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="store-model-"))
        self.stored: list[int] = []
        self.revisions: dict[bytes, tuple[int, bytes, list[int]]] = {}
        self.recorded: list[bytes] = []
        self.signed = 0
        self.open()
        self.store.set_agreement(AGREEMENT, OWNER, CAPACITY)

    def open(self) -> None:
        self.store = ObjectStore.open(self.path / "objects", self.path / "objects.sqlite", reserve_bytes=0)

    @property
    def used(self) -> int:
        return sum(leaves_of(n) for n in self.stored) * 1024

    @rule(n=numbers, commit=st.booleans())
    def put(self, n: int, commit: bool) -> None:
        size = leaves_of(n) * 1024
        if n not in self.stored and self.used + size > CAPACITY:
            with pytest.raises(refusals.OverCapacity):
                self.store.begin(OWNER, AGREEMENT, root_of(n), size)
            return
        with self.store.begin(OWNER, AGREEMENT, root_of(n), size) as upload:
            upload.write(bytes([n]) * size)
            if commit:
                upload.commit(root_of(n), leaves_of(n), b"")
        if commit and n not in self.stored:
            self.stored.append(n)

    @rule(data=st.data(), wild=st.lists(numbers, max_size=1), back=st.integers(0, 3), expires=st.integers(0, 20))
    def sign(self, data: st.DataObject, wild: list[int], back: int, expires: int) -> None:
        """A revision of stored objects, on top of one of the newest or on nothing; at times with one more."""
        appended = wild
        if self.stored:
            appended = appended[:1] * data.draw(st.booleans()) + data.draw(
                st.lists(st.sampled_from(self.stored), max_size=3, unique=True)
            )
        earlier = [bytes(32), *self.revisions]
        previous = earlier[max(0, len(earlier) - 1 - back)]
        sequence, _, before = self.revisions.get(previous, (0, b"", []))
        self.signed += 1
        digest = self.signed.to_bytes(32, "big")
        revision = SignedRevision(
            AGREEMENT, sequence + 1, digest, previous, digest, 1, Epoch(expires), b"", b"client", b"provider"
        )
        roots = [root_of(n) for n in appended]
        newest = max((self.revisions[d][0] for d in self.recorded), default=0)
        twice = len(set(appended)) < len(appended) or set(appended) & set(before)
        taken = set(self.revisions[self.recorded[-1]][2]) if self.recorded else set()
        if sequence + 1 <= newest or twice or set(appended) & taken or not set(appended) <= set(self.stored):
            with pytest.raises((refusals.RevisionConflict, refusals.UnknownObject)):
                self.store.revisions.keep(revision, roots)
            return
        self.store.revisions.keep(revision, roots)
        self.revisions[digest] = (sequence + 1, previous, before + appended)

    @precondition(lambda self: self.revisions)
    @rule(data=st.data())
    def record(self, data: st.DataObject) -> None:
        digest = data.draw(st.sampled_from(sorted(self.revisions)))
        self.store.revisions.mark_recorded(AGREEMENT, digest)
        chain = [digest]
        while self.revisions[chain[-1]][1] != bytes(32):
            chain.append(self.revisions[chain[-1]][1])
        for step in reversed(chain):
            if step not in self.recorded:
                self.recorded.append(step)
        self.drop_orphans(
            {d for d, (s, _, _) in self.revisions.items() if d not in chain and s <= self.revisions[digest][0]}
            - set(self.recorded)
        )

    def drop_orphans(self, gone: set[bytes]) -> None:
        while gone:
            self.revisions = {d: r for d, r in self.revisions.items() if d not in gone}
            known = {bytes(32), *self.revisions}
            gone = {d for d, (_, previous, _) in self.revisions.items() if previous not in known}

    @rule()
    def drop_unrecorded(self) -> None:
        listed = {n for _, _, objects in self.revisions.values() for n in objects}
        dropped = self.store.drop_unrecorded(1 << 62)
        assert {root for _, root in dropped} == {root_of(n) for n in self.stored if n not in listed}
        self.stored = [n for n in self.stored if n in listed]

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.open()
        assert self.store.reconciliation.missing == ()

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        if not hasattr(self, "store"):
            return
        assert self.store.usage().used_bytes == self.used
        assert {root for root, _ in self.store.objects_of(AGREEMENT)} == {root_of(n) for n in self.stored}
        folder = self.path / "objects" / AGREEMENT.hex()
        files = {p.name for p in folder.iterdir()} if folder.exists() else set()
        assert files == {root_of(n).hex() for n in self.stored}
        held = self.store.revisions.all_of(AGREEMENT)
        assert {r.digest for r in held} == set(self.revisions)
        for revision in held:
            objects = self.revisions[revision.digest][2]
            assert self.store.revisions.objects_of(revision) == [(root_of(n), leaves_of(n)) for n in objects]
            assert revision.recorded == (revision.digest in self.recorded)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.path)


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
