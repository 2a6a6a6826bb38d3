"""NumPy's files: ``.npz`` and ``.npy``. Nothing in them is ever executed."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np

from . import archives, reason, refused, regular


def read_npz(
    source: Path | BinaryIO, place: object, expected: str, then: str, names: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` by name: these ``names``, or all.

    source: a path, or a stream at its start; ``place``, ``expected`` and ``then`` are for the error. Raises ValueError
    in the form of ``refused`` for whatever is wrong with its content, OSError if a path cannot be opened.
    """
    with open(regular(source), "rb") if isinstance(source, Path) else nullcontext(source) as file:
        try:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            with archive:
                if found := archives.zip_excess(archive.zip):
                    raise ValueError(found)
                arrays = {name: archive[name] for name in (archive.files if names is None else names)}
            for name, array in arrays.items():
                if not isinstance(array, np.ndarray):  # NumPy gives the bytes of what is no .npy
                    raise ValueError(f"{name} is no array")
            return arrays
        except KeyError as error:
            raise refused(place, f"no such array ({reason(error)})", expected, then) from error
        except Exception as error:  # NumPy, zipfile and tokenize raise some twenty types, system errors among them
            raise refused(place, f"no .npz that can be read ({reason(error)})", expected, then) from error


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name as an ``.npz`` packed with bzip2: pictures take a sixth less than with NumPy's own packing,
    and as ``read_npz`` reads it, so does NumPy. Raises OSError where it cannot be written."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def check_finite(predictions: np.ndarray, place: object, then: str) -> None:
    """Raise ValueError saying how many of some predictions, (n, ...), have a number that is NaN or infinite.

    Their argmax would be the first class, and be scored as if it had been predicted. Whatever else is no array of
    numbers with a first axis is refused too.
    """
    try:
        finite = np.isfinite(predictions).all(axis=tuple(range(1, predictions.ndim)))
        lost = len(finite) - int(finite.sum())
    except TypeError as error:  # text, or a single number
        found = f"an array of shape {predictions.shape} and type {predictions.dtype}"
        raise refused(place, found, "numbers, a row for each prediction", then) from error
    if lost:
        found = f"{lost:,} of {len(predictions):,} predictions with NaN or infinite numbers"
        raise refused(place, found, "finite ones", then)


def read_npy(content: bytes, place: object, expected: str, then: str) -> np.ndarray:
    """The array in the bytes of an ``.npy``. Raises ValueError as ``read_npz`` does."""
    try:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # as above
        raise refused(place, f"no .npy that can be read ({reason(error)})", expected, then) from error


def map_npy(path: Path, expected: str, then: str) -> np.ndarray:
    """The array of an ``.npy``, memory-mapped and read-only. Raises ValueError as ``read_npz`` does."""
    with open(regular(path), "rb"):  # for the system's error
        pass
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # as above
        raise refused(path, f"no .npy that can be read ({reason(error)})", expected, then) from error
