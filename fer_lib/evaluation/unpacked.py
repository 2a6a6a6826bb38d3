"""Predictions unpacked: a copy of each record's arrays that needs no decompression, below ``local``, which git ignores.

Unpacking a predictions file takes fifty times as long as mapping its copy. The report does it once for each file; from
then on its pages, the claims and a notebook that is opened by itself read the copies. A copy is found by the SHA-256 of
its predictions file, so it is never that of another one, and whatever is wrong with a copy, the file is unpacked again.

A copy is an ``.npy`` with one element, whose fields are the arrays, and "checksum", the CRC-32 of the file's name and
of their names, types and content: it is read through before it is used first in a process.
"""

import ast
import hashlib
import mmap
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..files import writing

CHECKSUM = "checksum"


def place(record: dict) -> Path:
    """Where the copies of a record's results folder are."""
    return record["folder"].parents[3] / "local" / "unpacked"


def prepare(all_records: list[dict]) -> int:
    """Let every record have its copy, and no copy lack its record; returns how many files were unpacked for it.

    Existing copies are read through; a damaged one is made again. Where the folder cannot be written to, nothing is
    kept, and ``records.predictions`` unpacks each file whenever it is asked for. Raises ValueError for a predictions
    file that is damaged or not the record's.
    """
    made = 0
    for folder in {place(record) for record in all_records}:
        own = [record for record in all_records if place(record) == folder]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            wanted = {_name(record["predictions_sha256"]) for record in own}
            for old in os.listdir(folder):
                if old not in wanted:
                    (folder / old).unlink()
            with ThreadPoolExecutor(os.cpu_count()) as side_by_side:  # unpacking lets other threads run
                made += sum(side_by_side.map(_prepare, own))
        except OSError:
            continue
    return made


def _prepare(record: dict) -> bool:
    from . import records  # which imports this

    copy = place(record) / _name(record["predictions_sha256"])
    if _is_whole(copy):
        return False
    path = record["folder"] / "predictions.npz"
    content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != record["predictions_sha256"]:
        raise ValueError(f"{path}: found SHA-256 {found}, expected {record['predictions_sha256']}; it was changed just "
                         "now: call the same command again")  # fmt: skip
    write(copy, records.read_arrays(path, content))
    return True


def _name(sha256: str) -> str:
    return f"{sha256[:32]}.npy"


def write(copy: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the copy of some arrays, whole or not at all."""
    ordered = dict(sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize))  # so that each is aligned
    fields = [(name, array.dtype, array.shape) for name, array in ordered.items()] + [(CHECKSUM, np.uint32)]
    packed = np.zeros((), fields)
    for name, array in ordered.items():
        packed[name] = array
    packed[CHECKSUM] = _checksum(copy, packed)
    with writing.replacing(copy) as file:
        np.lib.format.write_array(file, packed, version=(1, 0), allow_pickle=False)


def _checksum(copy: Path, packed: np.ndarray) -> int:
    named = zlib.crc32(f"{copy.name} {packed.dtype.descr!r}".encode())  # the header may be damaged, too
    return zlib.crc32(packed.reshape(1).view(np.uint8)[: -np.dtype(np.uint32).itemsize], named)


_whole: set[Path] = set()
"""The copies that this process, or the one it is a copy of, has read through."""


def _is_whole(copy: Path) -> bool:
    packed = _mapped(copy)
    whole = packed is not None and int(packed[CHECKSUM]) == _checksum(copy, packed)
    if whole:
        _whole.add(copy)
    return whole


def _mapped(copy: Path) -> np.ndarray | None:
    """The element of a copy, memory-mapped; None where there is none that can be read."""
    try:
        with open(copy, "rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                return None
            header = file.read(int.from_bytes(file.read(2), "little"))
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return np.frombuffer(mapped, _dtype(header), 1, file.tell())[0:1].reshape(())
    except Exception:  # whatever is wrong with it, as in ``files.arrays``: the predictions file is there
        return None


@lru_cache
def _dtype(header: bytes) -> np.dtype:
    """The type that the header of a copy names: the same for all records of one kind, and slow to parse."""
    dtype = np.lib.format.descr_to_dtype(ast.literal_eval(header.decode("latin1"))["descr"])
    if CHECKSUM not in (dtype.names or ()):
        raise ValueError(f"{dtype}: found no {CHECKSUM}, expected one; it is made again")
    return dtype


def read(folder: Path, sha256: str) -> dict[str, np.ndarray] | None:
    """The arrays of the copy of a predictions file, read-only, by its SHA-256; None where there is none."""
    copy = folder / _name(sha256)
    return _read(copy) if copy.exists() else None


@lru_cache(maxsize=256)  # maps that are open at a time
def _read(copy: Path) -> dict[str, np.ndarray] | None:
    packed = _mapped(copy) if copy in _whole or _is_whole(copy) else None
    return None if packed is None else {name: packed[name] for name in packed.dtype.names if name != CHECKSUM}
