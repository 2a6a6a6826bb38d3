"""Files in every form that FER2013 comes in, written from arrays of images, labels and split (few, and made up)."""

import gzip
import io
import lzma
import os
import tarfile
import warnings
import zipfile
from pathlib import Path

import cv2
import numpy as np

from fer_lib.data import SPLITS, fer2013
from fer_lib.data.emotions import FER2013 as EMOTIONS

HEADER = "emotion,pixels,Usage"
PIXELS = " ".join(["7"] * 2304)
GOOD = f"0,{PIXELS},Training"


def made_up(seed=0, rows=5):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (rows, 48, 48), dtype=np.uint8)
    return images, rng.integers(0, 7, rows, dtype=np.uint8), rng.integers(0, 3, rows, dtype=np.uint8)


def texts(images, labels, split):
    """(emotion, pixels, Usage) of each row, as text."""
    for image, label, part in zip(images, labels, split, strict=True):
        yield str(label), " ".join(map(str, image.ravel())), SPLITS[part]


def csv_text(images, labels, split, end="\n"):
    return end.join([HEADER, *(",".join(row) for row in texts(images, labels, split)), ""])


def icml_text(*arrays):
    """As icml_face_data.csv."""
    return "\n".join(["emotion, Usage, pixels", *(f"{e},{u},{p}" for e, p, u in texts(*arrays)), ""])


def semicolon_text(*arrays):
    """As a spreadsheet saves it again."""
    return "\n".join(["emotion;pixels;usage", *(";".join(row) for row in texts(*arrays)), ""])


def train_text(*arrays):
    """As the competition's train.csv, the Training rows."""
    rows = (f'{e},"{p}"' for e, p, u in texts(*arrays) if u == "Training")
    return "\r\n".join(["emotion,pixels", *rows, ""])


def test_text(*arrays):
    """As the competition's test.csv, the other rows' pixels."""
    return "\r\n".join(["pixels", *(f'"{p}"' for _, p, u in texts(*arrays) if u != "Training"), ""])


test_text.__test__ = False  # pytest takes it for a test by its name

PACKINGS = ("", ".gz", ".xz", ".zip", ".tar.gz", ".tar.xz", ".tar")


def write(path: Path, text: str, member: str = "fer2013.csv") -> Path:
    """A table at path, packed as the path's ending says; archives hold what lies beside it at Kaggle too."""
    content = text.encode()
    if path.suffix == ".zip":
        write_zip(path, {member: content, "__MACOSX/._fer2013.csv": b"a shadow file", "README": b"Thank you."})
    elif ".tar" in path.suffixes:
        write_tar(path, {"fer2013/README": b"Thank you.", f"fer2013/{member}": content, "fer2013/fer2013.bib": b"@"})
    else:
        if path.suffix == ".gz":
            content = gzip.compress(content, compresslevel=1)
        if path.suffix == ".xz":
            content = lzma.compress(content, preset=0)
        path.write_bytes(content)
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    fast = {".gz": {"mode": "w:gz", "compresslevel": 1}, ".xz": {"mode": "w:xz", "preset": 0}, ".tar": {"mode": "w:"}}
    with tarfile.open(path, **fast[path.suffix]) as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return path


def write_npz(path: Path, images, labels, split) -> Path:
    np.savez(path, pixels=images, emotion=labels, usage=split)
    return path


def in_parts(images, labels, split):
    """The same rows, those of each part together, as all of Kaggle's files have them."""
    order = np.argsort(split, kind="stable")
    return images[order], labels[order], split[order]


def picture_files(images, labels, split, ending=".png") -> dict[str, bytes]:
    """Kaggle's folder copy as name -> content; the numbers in the names ascend with the rows of a part."""
    files = {}
    for row, (image, label, part) in enumerate(zip(images, labels, split, strict=True)):
        folder = "train" if part == 0 else "test"
        name = f"{folder}/{EMOTIONS[label]}/{SPLITS[part]}_{1000 + 997 * row}{ending}"
        files[name] = cv2.imencode(ending, image)[1].tobytes()
    return files


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def load(path=None, **options):
    """Load data that is not the official one, without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return fer2013.load(path, **options)


def assert_holds(faces, images, labels, split, ids=None):
    np.testing.assert_array_equal(faces.images, images)
    np.testing.assert_array_equal(faces.labels, labels)
    np.testing.assert_array_equal(faces.split, split)
    assert [a.dtype for a in (faces.images, faces.labels, faces.split)] == [np.uint8] * 3
    assert faces.ids.dtype == np.int32 and faces.ids.tolist() == list(range(len(labels)) if ids is None else ids)


def assert_nothing_cached():
    from fer_lib import paths

    assert not paths.CACHE.exists() or os.listdir(paths.CACHE) == []
