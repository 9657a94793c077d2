import os
import stat
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def as_nobody(tmp_path: Path) -> Iterator[Callable[[Callable[[], object]], str]]:
    """Run a function in a forked child as an ordinary user; its str() result, or a failure with its traceback."""
    if os.getuid() != 0:
        pytest.skip("becoming another user needs root")
    opened = []
    for parent in [tmp_path, *tmp_path.parents]:
        mode = stat.S_IMODE(parent.stat().st_mode)
        if not mode & 0o001:
            opened.append((parent, mode))
            parent.chmod(mode | 0o011)
    yield _as_nobody
    for parent, mode in opened:
        parent.chmod(mode)


def _as_nobody(function: Callable[[], object]) -> str:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            os.setgroups([12])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os.write(writer, str(function()).encode("utf-8", "surrogateescape")[:60_000])
            code = 0
        except BaseException as error:
            os.write(writer, "".join(traceback.format_exception(error)).encode()[:60_000])
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as file:
        output = file.read().decode("utf-8", "surrogateescape")
    _, status = os.waitpid(child, 0)
    assert status == 0, output
    return output
