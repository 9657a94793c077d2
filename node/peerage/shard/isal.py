"""Intel ISA-L through ctypes: the five functions that the code needs, and pointers to Python's buffers.

pyeclib's wheel carries the library. Its own interface copies every shard, adds an 80-byte header and holds the GIL;
called directly it reads and writes the buffers in place and ctypes releases the GIL (node/spec/decisions/isal.md).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from peerage.errors import LocalFault

Buffer = bytes | bytearray | memoryview

_FUNCTIONS = ("gf_gen_cauchy1_matrix", "gf_invert_matrix", "gf_mul", "ec_init_tables", "ec_encode_data")


@cache
def library() -> ctypes.CDLL:
    """The loaded library. Raises LocalFault, saying what to install, when it is not there."""
    tried: list[str] = []
    for name in (*_bundled(), "libisal.so.2", "libisal.so"):
        try:
            lib = ctypes.CDLL(name)
            for function in _FUNCTIONS:
                getattr(lib, function)
        except (OSError, AttributeError) as error:
            tried.append(f"{name}: {error}")
            continue
        lib.gf_gen_cauchy1_matrix.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
        lib.gf_gen_cauchy1_matrix.restype = None
        lib.gf_invert_matrix.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
        lib.gf_invert_matrix.restype = ctypes.c_int
        lib.gf_mul.argtypes = [ctypes.c_ubyte, ctypes.c_ubyte]
        lib.gf_mul.restype = ctypes.c_ubyte
        lib.ec_init_tables.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        lib.ec_init_tables.restype = None
        lib.ec_encode_data.argtypes = [ctypes.c_int] * 3 + [ctypes.c_void_p] * 3
        lib.ec_encode_data.restype = None
        return lib
    raise LocalFault(
        "the erasure-coding library ISA-L was not found: reinstall pyeclib from its wheel "
        f"(pip install --force-reinstall pyeclib), or install libisal ({'; '.join(tried)})"
    )


def _bundled() -> list[str]:
    """Paths of ISA-L inside pyeclib's wheel, where auditwheel puts it."""
    spec = find_spec("pyeclib")
    if spec is None or spec.origin is None:
        return []
    site = Path(spec.origin).parent.parent
    return sorted(str(path) for folder in ("pyeclib.libs", "pyeclib") for path in (site / folder).glob("libisal*.so*"))


class Pointers:
    """An array of the addresses of buffers, for ec_encode_data. Keeps the buffers alive and unmoved.

    Read-only memoryviews are copied: ctypes gives no address of them. Pass bytes, or writable buffers.
    """

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._held: list[object] = []
        self.array = (ctypes.c_void_p * len(buffers))(*[self._address(buffer) for buffer in buffers])

    def _address(self, buffer: Buffer) -> int:
        if isinstance(buffer, memoryview) and (buffer.readonly or not buffer.c_contiguous):
            buffer = bytes(buffer)
        if isinstance(buffer, bytes):
            pointer = ctypes.c_char_p(buffer)
            self._held.append(buffer)
            return ctypes.cast(pointer, ctypes.c_void_p).value or 0
        view = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        self._held.append(view)
        return ctypes.addressof(view)
