"""Keeps the traceback of an unexpected error where the user can find it, and says where."""

from __future__ import annotations

import os
import tempfile
import traceback
from pathlib import Path

from peerage.cli.session import Session
from peerage.errors import UserError

LIMIT = 64 * 1024  # bytes of one traceback


def keep_traceback(session: Session, error: BaseException) -> str:
    """Write the traceback (no values of variables, so no secrets) to the home's logs, else to a temporary file.

    Returns the sentence for the user.
    """
    text = "".join(traceback.format_exception(error))[-LIMIT:]
    try:
        logs = session.home / "logs"
    except UserError:
        logs = Path("/nonexistent")
    try:
        if logs.is_dir():
            path = logs / "crash.log"
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        else:
            fd, name = tempfile.mkstemp(prefix="peerage-crash-", suffix=".log")
            path = Path(name)
        with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as log:
            log.write(text)
    except OSError:
        return "set PEERAGE_DEBUG=1 to see the traceback"
    return f"the traceback is in {path}"
