"""The erasure code: systematic Reed-Solomon over GF(2^8), Cauchy matrix, as ISA-L's gf_gen_cauchy1_matrix fixes it.

Shard i < k is the pack's bytes [i * shard_length, (i + 1) * shard_length); shards k … k+m-1 are parity. Every call
releases the GIL; a Coder holds only constants and may be used from many threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

from peerage.errors import ShardMismatch, TooFewShards
from peerage.model import LEAF_SIZE, Code
from peerage.seal.memory import zeroed
from peerage.shard.isal import Buffer, Pointers, library


def shard_length(pack_length: int, k: int) -> int:
    """Bytes of each of k data shards that together hold pack_length bytes: whole leaves, at least one."""
    leaves = -(-pack_length // (k * LEAF_SIZE))
    return max(leaves, 1) * LEAF_SIZE


@cache
def coder(code: Code) -> Coder:
    """The Coder of a code; made once."""
    return Coder(code)


class Coder:
    """Encodes packs into shards, and rebuilds any shard of a stripe from any k others."""

    def __init__(self, code: Code) -> None:
        self.code = code
        matrix = (ctypes.c_ubyte * (code.n * code.k))()
        library().gf_gen_cauchy1_matrix(matrix, code.n, code.k)
        self._matrix = bytes(matrix)
        self._parity_tables = _tables(self._matrix[code.k * code.k :], code.k)
        self._plan = lru_cache(maxsize=64)(self._make_plan)

    def encode(self, data: bytearray | memoryview, shard_length: int) -> list[memoryview]:
        """The m parity shards of a padded pack, writable.

        data: exactly k * shard_length bytes; its consecutive slices are the data shards. Raises ShardMismatch.
        """
        k, m = self.code.k, self.code.m
        if shard_length <= 0 or len(data) != k * shard_length:
            raise ShardMismatch(f"a pack of {len(data)} bytes is not {k} shards of {shard_length} bytes")
        room = zeroed(m * shard_length)
        parity = [room[i * shard_length : (i + 1) * shard_length] for i in range(m)]
        view = memoryview(data)
        source = [view[i * shard_length : (i + 1) * shard_length] for i in range(k)]
        _multiply(self._parity_tables, shard_length, source, parity)
        return parity

    def rebuild(self, have: Mapping[int, Buffer], want: Sequence[int]) -> dict[int, bytearray]:
        """The wanted shards of a stripe, from any k of it.

        have: shard index -> payload, equal lengths, at least k; verify their roots first, since a wrong shard makes
        wrong output and nothing here can tell. Data shards are preferred: they need no arithmetic.
        Raises TooFewShards; ShardMismatch if lengths differ or an index lies outside the code.
        """
        k, n = self.code.k, self.code.n
        if any(not 0 <= index < n for index in (*have, *want)):
            raise ShardMismatch(f"a shard index outside the code {k}+{self.code.m}")
        if len(have) < k:
            raise TooFewShards(f"{len(have)} good shards of {n}, {k} are needed")
        lengths = {len(payload) for payload in have.values()}
        if len(lengths) != 1 or 0 in lengths:
            raise ShardMismatch("the shards of a stripe differ in length, or are empty")
        length = lengths.pop()
        made = {index: bytearray(have.get(index, length)) for index in want}
        missing = tuple(index for index in made if index not in have)
        if missing:
            rows = tuple(sorted(have))[:k]
            tables = self._plan(rows, missing)
            _multiply(tables, length, [have[row] for row in rows], [made[index] for index in missing])
        return made

    def _make_plan(self, rows: tuple[int, ...], want: tuple[int, ...]) -> bytearray:
        """ISA-L's tables for the wanted shards as combinations of the shards `rows`."""
        k = self.code.k
        matrix = self._matrix
        chosen = b"".join(matrix[row * k : (row + 1) * k] for row in rows)
        inverse = (ctypes.c_ubyte * (k * k))()
        if library().gf_invert_matrix(ctypes.create_string_buffer(chosen, k * k), inverse, k) != 0:
            raise ShardMismatch("the code's matrix cannot be inverted")  # impossible for a Cauchy matrix
        inverted = bytes(inverse)
        multiply = library().gf_mul
        combined = bytearray()
        for index in want:
            if index < k:
                combined += inverted[index * k : (index + 1) * k]
                continue
            row = bytearray(k)
            for j in range(k):
                factor = matrix[index * k + j]
                for column in range(k):
                    row[column] ^= multiply(factor, inverted[j * k + column])
            combined += row
        return _tables(bytes(combined), k)


def _tables(rows: bytes, k: int) -> bytearray:
    """ISA-L's 32-byte multiplication tables for len(rows) / k output rows."""
    count = len(rows) // k
    tables = bytearray(32 * k * count)
    if count:
        view = (ctypes.c_char * len(tables)).from_buffer(tables)
        library().ec_init_tables(k, count, ctypes.create_string_buffer(rows, len(rows)), view)
    return tables


def _multiply(tables: bytearray, length: int, source: Sequence[Buffer], target: Sequence[Buffer]) -> None:
    """target = rows of `tables` times source, in one call: ISA-L itself goes by columns through its input."""
    if not target:
        return
    inputs, outputs = Pointers(source), Pointers(target)
    table = (ctypes.c_char * len(tables)).from_buffer(tables)
    library().ec_encode_data(length, len(source), len(target), table, inputs.array, outputs.array)
