"""Start-up of the object store: make files and index agree again after a crash, or after hands on the disk."""

from __future__ import annotations

from dataclasses import dataclass

from peerage.errors import IntegrityError
from peerage.model import AgreementId, ShardRoot
from peerage.store.object_files import ObjectFiles
from peerage.store.object_index import Health, ObjectIndex

__all__ = ["Reconciliation", "reconcile"]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a start tidied up. unfinished: uploads cut short, removed. strays: files never counted, removed.

    missing: objects with no file of their size; they stay listed, and damaged, until the file or a new copy is back.
    """

    unfinished: int
    strays: int
    missing: tuple[tuple[AgreementId, ShardRoot], ...]


def reconcile(files: ObjectFiles, index: ObjectIndex) -> Reconciliation:
    """Run before anything else uses the store. Raises IntegrityError, touching nothing, if the index is gone."""
    on_disk = {(agreement, root): size for agreement, root, size in files.walk()}
    if index.created and on_disk:
        index.discard()
        raise IntegrityError(
            f"{files.directory} holds {len(on_disk)} objects but their index {index.path} is gone: "
            "restore the index, or move the objects away to start empty"
        )
    unfinished = files.remove_incoming()
    changed: list[tuple[AgreementId, ShardRoot, Health]] = []
    missing: list[tuple[AgreementId, ShardRoot]] = []
    for row in index.rows():
        present = on_disk.pop((row.agreement, row.root), None) == row.size
        if not present:
            missing.append((row.agreement, row.root))
        if present and row.health == Health.MISSING:
            changed.append((row.agreement, row.root, Health.GOOD))
        elif not present and row.health == Health.GOOD:
            changed.append((row.agreement, row.root, Health.MISSING))
    if changed:
        index.set_health(changed)
    for agreement, root in on_disk:
        files.remove(agreement, root)
    return Reconciliation(unfinished, len(on_disk), tuple(missing))
