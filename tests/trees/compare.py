"""Compares two trees, content and metadata, with a program that is not ours: rsync, or GNU tar where it is missing."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

RSYNC = ("rsync", "-aHAXn", "--checksum", "--delete", "--itemize-changes")
TAR = (
    *("tar", "--create", "--file=-", "--sort=name", "--numeric-owner", "--format=posix"),
    "--pax-option=delete=atime,delete=ctime,exthdr.name=%d/%f,globexthdr.name=global",
)


def difference(source: Path, target: Path, *options: str) -> str:
    """What differs between two trees or files; empty when they are the same. options: of rsync; tar compares all."""
    slash = "/" if source.is_dir() else ""
    if shutil.which("rsync") is None:
        return difference_by_tar(source, target)
    command = [*RSYNC, *options, f"{source}{slash}", f"{target}{slash}"]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def difference_by_tar(source: Path, target: Path) -> str:
    """As difference(); tar follows paths of any length."""
    one, two = _members_of(source), _members_of(target)
    return "\n".join(repr(name) for name in sorted(one.keys() | two.keys()) if one.get(name) != two.get(name))


def _members_of(tree: Path) -> dict[str, object]:
    """What tar says of each name: its header and the digest of its content; and its extended attributes."""
    members: dict[str, object] = {}
    command = [*TAR, f"--directory={tree}", "."] if tree.is_dir() else [*TAR, f"--directory={tree.parent}", tree.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tar:
        assert tar.stdout is not None
        with tarfile.open(fileobj=tar.stdout, mode="r|", errors="surrogateescape") as archive:
            for m in archive:
                content = archive.extractfile(m) if m.isreg() else None
                digest = hashlib.sha256(content.read()).digest() if content else b""
                header = (m.type, m.mode, m.uid, m.gid, m.size, m.pax_headers.get("mtime", m.mtime), m.linkname)
                members[m.name] = (*header, m.devmajor, m.devminor, digest)
        while tar.stdout.read(1 << 16):  # what pads the archive: tar must not find the pipe closed
            pass
    assert tar.returncode == 0, tar.returncode
    for path, values in _attributes_of(tree):
        members[f"attributes of {os.fsdecode(path)}"] = values
    return members


def _attributes_of(tree: Path) -> list[tuple[bytes, list[tuple[str, bytes]]]]:
    """(path, attributes) of all that has some. tar has them in the file system's order, so they are compared apart."""
    found = []
    top = os.fsencode(tree)
    for path, _, names, fd in os.fwalk(top):
        for name in [b".", *names]:
            at = b"/proc/self/fd/%d/%b" % (fd, name)
            keys = sorted(os.listxattr(at, follow_symlinks=False))
            if keys:
                values = [(key, os.getxattr(at, key, follow_symlinks=False)) for key in keys]
                found.append((path[len(top) :] + b"/" + name, values))
    return sorted(found)
