"""PyTorch's files of tensors, read without PyTorch, and without running what is in them.

``torch.save`` pickles a dictionary of tensors that say where in the file their numbers lie: an entry of a zip (since
PyTorch 1.6), or what follows the pickle (before). A pickle can name any function to call. Here it can name only what
such a dictionary needs, and gets plain data in its place; anything else is refused before it is called, as by
``torch.load(weights_only=True)``.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ..data import refused

MAGIC = 0x1950A86A20F9469CFC6C
"""The first number in a file from before the zips."""
STORAGES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2",
    "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1",
}  # fmt: skip
"""The types of numbers, little-endian, by the names that PyTorch gives to arrays of them."""


class _Tensor(NamedTuple):
    """A tensor by its place: an array of numbers ``(type, key)``, and offset, shape and strides in it, in numbers."""

    storage: tuple[str, str]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dictionary by name, in the file's order, each of its own type and shape.

    Raises ValueError where the file is no such dictionary, is damaged, or names anything else to be called.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _from_zip(archive)
        with open(path, "rb") as file:
            return _from_stream(file)
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        found, expected = f"{type(error).__name__}: {error}", "a state dictionary as torch.save writes it"
        raise refused(path.name, found, expected, "fetch the file again, and from its owners") from None


def _from_zip(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    (described,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    folder = described.removesuffix("data.pkl")
    with archive.open(described) as file:
        tensors = _unpickled(file)
    keys = {key for _, key in (tensor.storage for tensor in tensors.values())}
    return _arrays(tensors, {key: archive.read(f"{folder}data/{key}") for key in keys})


def _from_stream(file: BinaryIO) -> dict[str, np.ndarray]:
    if _unpickled(file) != MAGIC:
        raise ValueError("it does not begin as PyTorch's files do")
    for _ in ("version", "system"):
        _unpickled(file)
    tensors, numbers = _unpickled(file), {}
    types = {key: kind for kind, key in (tensor.storage for tensor in tensors.values())}
    for key in _unpickled(file):
        (count,) = np.frombuffer(file.read(8), "<i8")
        numbers[key] = file.read(int(count) * np.dtype(types[key]).itemsize)
    return _arrays(tensors, numbers)


def _unpickled(file: BinaryIO):
    """The next pickle of a file, in which nothing can be called but what is made here, anew each time."""

    def tensor(storage, offset, shape, strides, *rest):
        return _Tensor(storage, offset, shape, strides)

    def parameter(data, *rest):
        return data

    known = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_parameter"): parameter,
        **{("torch", name): kind for name, kind in STORAGES.items()},
    }

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            if (module, name) not in known:
                raise pickle.UnpicklingError(f"it names {module}.{name}, which has no place in a state dictionary")
            return known[module, name]

        def persistent_load(self, identity):
            _, kind, key, _, _, *view = identity
            if any(view):  # a part of another array, as very old files may have
                raise pickle.UnpicklingError(f"its array {key} is a view of another one")
            return kind, key

    return Unpickler(file).load()


def _arrays(tensors: dict[str, _Tensor], numbers: dict[str, bytes]) -> dict[str, np.ndarray]:
    """NumPy checks that no tensor reaches beyond the numbers that are there."""
    found = {}
    for name, ((kind, key), offset, shape, strides) in tensors.items():
        size = np.dtype(kind).itemsize
        steps = [size * stride for stride in strides]
        found[name] = np.ndarray(shape, kind, numbers[key], size * offset, steps)
    return found
