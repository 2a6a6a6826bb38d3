"""FER2013 as it was read before: ``CACHE/fer2013-<MD5 of the content>/``, arrays that are mapped instead of read.

An index beside them, from a file's path, size and times to the MD5 of its content, spares reading the file at a load.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from .. import paths
from . import array_hash, refused
from . import fer2013_files as files


def cached(path: Path) -> tuple[files.Arrays, dict]:
    """A file's arrays (images memory-mapped) and its ``about``: rows, md5, form, sha256. Read if it never was."""
    index, key = _read_index(), files.fingerprint(path)
    found = _read_cache(index[key]) if key in index else None
    if found is None:
        with files.opened(path) as content:
            md5 = files.content_md5(content)
            found = _read_cache(md5)
            if found is None:
                shutil.rmtree(_folder(md5), ignore_errors=True)  # a damaged one
                arrays = files.arrays(content)
                if files.fingerprint(path) != key:
                    raise refused(path, "that it changed while it was read", "a complete file", "load it again")
                _write_cache({"rows": len(arrays[1]), "md5": md5, "form": content.form}, arrays)
                found = _read_cache(md5)
        _write_index({known: index[known] for known in index if _is_of_another(known, path)} | {key: md5})
    return found


def _folder(md5: str) -> Path:
    return paths.CACHE / f"fer2013-{md5[:12]}"


def _is_of_another(key: str, path: Path) -> bool:
    """Whether a key in the index is of another file, and one that is still there."""
    other = Path(key.split("|")[0])
    return other != path.resolve() and other.exists()


def _read_index() -> dict[str, str]:
    try:
        index = json.loads((paths.CACHE / "fer2013-index.json").read_text(encoding="utf-8"))
        return {str(key): str(md5) for key, md5 in index.items()}
    except (OSError, ValueError, AttributeError):
        return {}  # it only saves time


def _write_index(index: dict[str, str]) -> None:
    new = paths.CACHE / f"fer2013-index.{os.getpid()}"
    new.write_text(json.dumps(index, indent=1), encoding="utf-8")
    new.replace(paths.CACHE / "fer2013-index.json")


def _read_cache(md5: str) -> tuple[files.Arrays, dict] | None:
    """The arrays of a content and its ``about``, or None where the cache is missing, damaged or another content's."""
    folder = _folder(md5)
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        images = np.load(folder / "images.npy", mmap_mode="r")
        labels, split = np.load(folder / "labels.npy"), np.load(folder / "split.npy")
        arrays = images, labels, split
        if about["md5"] == md5 and {"form", "sha256"} <= about.keys() and files.sound(arrays, about["rows"]):
            return arrays, about
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError):
        pass
    return None


def _write_cache(about: dict, arrays: files.Arrays) -> None:
    """Written beside its place and renamed, so that a cache is whole or absent."""
    folder = _folder(about["md5"])
    try:
        paths.CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=paths.CACHE, prefix=".fer2013-") as temporary:
            new = Path(temporary) / "new"
            new.mkdir()
            for name, array in zip(("images", "labels", "split"), arrays, strict=True):
                np.save(new / f"{name}.npy", array)
            (new / "about.json").write_text(json.dumps(about | {"sha256": array_hash(*arrays)}), encoding="utf-8")
            new.rename(folder)
    except OSError as error:
        if _read_cache(about["md5"]) is None:  # else another process was quicker, and its cache is as good
            raise OSError(f"{folder}: cannot keep the parsed data ({error}); set FER_CACHE elsewhere") from error
