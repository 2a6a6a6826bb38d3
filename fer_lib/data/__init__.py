"""Data sets: one module each, with a plain ``load(...) -> Faces``."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from .. import paths, system
from ..files import documents, refused, writing
from ..files.arrays import map_npy, read_npy
from .emotions import FER2013

SPLITS = ("Training", "PublicTest", "PrivateTest")
"""FER2013's three parts, in the order of their codes 0, 1, 2; all data sets here have the same three."""

SIDE = 48
"""Width and height of the faces that experiments run on, in pixels."""

PROGRESS = {"delay": 1, "disable": None, "leave": False}
"""How tqdm shows reading: only on a terminal, only if it takes long, and removed at the end."""

UNKNOWN = 255
"""The label or part of a face whose file does not give it; such data can be viewed, but not trained on or scored."""


Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Images, labels (n,) and split (n,), all uint8, as in ``Faces``."""


@dataclass(frozen=True)
class Faces:
    """Labelled faces, grey and 48 x 48 pixels unless requested otherwise.

    images: (n, side, side) uint8, 0 black to 255 white, or (n, side, side, 3) RGB; side is ``SIDE`` for all
        experiments. May be memory-mapped and larger than memory; never written to.
    labels: (n,) uint8, an index into ``emotions``, or ``UNKNOWN``.
    split: (n,) uint8, an index into ``SPLITS``, or ``UNKNOWN``.
    ids: (n,) int32, the row's number in its source file, counted from 0 without the header.
    name: the data set's name, as ``load`` takes it.
    sha256: hash of the whole data set's arrays (see ``array_hash``); a selection keeps its source's.
    source: what identifies the data: file name, MD5 of the file, and so on.
    targets: (n, len(emotions)) float32, how much of each emotion a face shows, as training targets, where that is known
        (from FER+'s taggers); else None.
    people: (n,) int32, which person, or which film, each row shows, where that is known; else None.
    """

    images: np.ndarray
    labels: np.ndarray
    split: np.ndarray
    ids: np.ndarray
    name: str
    sha256: str
    source: dict = field(default_factory=dict)
    emotions: tuple[str, ...] = FER2013
    targets: np.ndarray | None = None
    people: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, splits: str) -> np.ndarray:
        """Positions (int64, ascending) of the rows in one split, or in several joined by ``+``, to train on or score.

        ``rows("PublicTest+PrivateTest")`` are the papers' 7,178. Raises ValueError for another name, and where a label
        is ``UNKNOWN``.
        """
        names = splits.split("+")
        unknown = [name for name in names if name not in SPLITS]
        if unknown:
            raise ValueError(f"no split is called {unknown[0]!r}; expected {', '.join(SPLITS)}, or some joined by '+'")
        rows = np.flatnonzero(np.isin(self.split, [SPLITS.index(name) for name in names]))
        if np.any(self.labels[rows] == UNKNOWN):
            place, then = self.source.get("file", self.name), "take a file that has the labels too"
            raise refused(place, f"{splits} rows without labels", "labelled rows to train on or to score", then)
        return rows

    def select(self, rows: np.ndarray) -> Faces:
        """The faces at these positions, in this order. Consecutive rows stay in their file, as a view."""
        rows = np.asarray(rows)
        consecutive = rows.dtype != bool and len(rows) > 0 and bool((np.diff(rows) == 1).all()) and rows[0] >= 0
        images = self.images[rows[0] : rows[-1] + 1] if consecutive else self.images[rows]
        targets, people = (None if each is None else each[rows] for each in (self.targets, self.people))
        labels, split, ids = self.labels[rows], self.split[rows], self.ids[rows]
        return replace(self, images=images, labels=labels, split=split, ids=ids, targets=targets, people=people)


def array_hash(images: np.ndarray, labels: np.ndarray, split: np.ndarray) -> str:
    """SHA-256 over the bytes of images, labels and split (uint8, C order), in this order.

    The same pixels, labels and parts give the same hash, whatever file they came from.
    """
    digest = hashlib.sha256()
    for array in (images, labels, split):
        digest.update(np.ascontiguousarray(array, np.uint8).data)
    return digest.hexdigest()


def loaders() -> dict[str, Callable[[], Faces]]:
    """What loads each data set that ``load_faces`` knows, by its name."""
    from . import affectnet, ckplus, drawn_affectnet, drawn_ckplus, fer2013, ferplus, sfew

    def official(scheme):
        return ferplus.labelled(fer2013.load(whole=True), scheme)

    def synthetic(scheme):
        return ferplus.labelled_synthetically(_drawn(), scheme)

    return {
        "drawn_faces": _drawn,
        "fer2013": lambda: fer2013.load(whole=True),
        **{name: partial(official, scheme) for name, scheme in ferplus.DATA.items()},
        **{f"drawn_{name}": partial(synthetic, scheme) for name, scheme in ferplus.DATA.items()},
        "affectnet": affectnet.load,
        "affectnet_official": lambda: affectnet.load(tests="official"),
        "drawn_affectnet": lambda: drawn_affectnet.load("older", "carved"),
        "drawn_affectnet_official": lambda: drawn_affectnet.load("newer", "official"),
        "ckplus": ckplus.load,
        "sfew": sfew.load,
        **{name: partial(drawn_ckplus.load, name) for name in drawn_ckplus.DATA},
    }


SUPPLIED = {
    **dict.fromkeys(("affectnet", "affectnet_official"), ("AffectNet", "AFFECTNET")),
    **dict.fromkeys(("ferplus", "ferplus_distribution", "ferplus_multi_label"), ("FER+", "FERPLUS")),
    "ckplus": ("CK+", "CKPLUS"), "sfew": ("SFEW", "SFEW"), "afew": ("AFEW", "AFEW"), "gaf": ("GAF", "GAF"),
}  # fmt: skip
"""Data sets beside FER2013 that only a user has: what they are called, and the variable that says where they are."""

SCENES = ("afew", "drawn_afew", "gaf", "drawn_gaf")
"""Clips and pictures of groups, which the live module's detector has to look at first: ``live.scenes`` loads them."""


def load_faces(name: str) -> Faces:
    """Load a data set to run experiments on, by name, its faces grey and of 48 x 48 pixels.

    "drawn_faces" at their default size; "fer2013", what ``fer2013.find`` finds; "ferplus", the same faces with FER+'s
    majority as labels, "ferplus_distribution" and "ferplus_multi_label" with the taggers' votes as targets (see
    ``ferplus.labelled``); "affectnet" and "affectnet_official", what ``affectnet.find`` finds, with either choice of
    test rows; "ckplus" and "sfew". Stand-ins for these: "drawn_ferplus" and so on, drawn faces with synthetic taggers,
    "drawn_affectnet" and "drawn_affectnet_official", drawn faces in AffectNet's older and newer layout, "drawn_ckplus"
    and "drawn_sfew". Raises FileNotFoundError with
    what to do if the data is missing, ValueError if FER2013 lacks a part or labels (see ``fer2013.load``).
    """
    known = loaders()
    if name not in known:
        raise ValueError(f"data: found {name!r}, expected one of {', '.join(known)}")
    return known[name]()


def places(name: str) -> list[Path]:
    """The files, and folders of files, that ``load_faces`` reads of a data set that a user supplied: nothing may be
    written into them. None of what is not here, and none for drawn faces."""
    from . import afew, affectnet, affectnet_files, ckplus, fer2013, ferplus, gaf, sfew

    found = []
    with suppress(OSError):
        whole = {"ckplus": ckplus.find, "sfew": sfew.find, "afew": afew.find, "gaf": gaf.find}
        if name in whole and (folder := whole[name]()):
            found.append(folder)
    with suppress(OSError, ValueError):  # whatever is wrong with them, loading them tells
        if name.startswith("affectnet") and (folder := affectnet.find()):
            place = affectnet_files.locate(folder)
            found += [*place.lists, *place.pictures]
    with suppress(OSError):
        if name in ("fer2013", *ferplus.DATA) and (place := fer2013.find()):
            found += [place] if place.is_file() else [each for each in place.iterdir() if each.is_dir()]
    with suppress(OSError):
        if name in ferplus.DATA and (place := ferplus.find()):
            found.append(place)
    return found


def _drawn() -> Faces:
    """The default drawn faces, drawn once for each version of the drawing code."""
    import cv2

    from . import drawn_faces

    program = Path(drawn_faces.__file__).read_bytes() + f"{np.__version__} {cv2.__version__}".encode()
    folder = paths.CACHE / f"drawn-faces-{hashlib.sha256(program).hexdigest()[:12]}"
    if kept := kept_arrays(folder, "source"):
        (images, labels, split), about = kept
        ids = np.arange(len(labels), dtype=np.int32)
        return Faces(images, labels, split, ids, "drawn_faces", about["sha256"], about["source"])
    shutil.rmtree(folder, ignore_errors=True)  # a damaged one
    faces = drawn_faces.load()
    with suppress(OSError):  # a read-only folder only costs time
        keep_arrays(folder, (faces.images, faces.labels, faces.split), {"source": faces.source})
    return faces


def drawn_once(kind: str, name: str, modules: Iterable[str], write: Callable[[Path], None]) -> Path:
    """The folder ``name`` with drawn pictures, which ``write`` fills once for each version of the drawing code.

    ``modules``: the files of that code. It is whole or not there. Raises OSError if it cannot be kept.
    """
    import cv2

    programs = b"".join(Path(module).read_bytes() for module in modules)
    version = hashlib.sha256(programs + f"{np.__version__} {cv2.__version__}".encode()).hexdigest()[:12]
    tree = paths.CACHE / f"{kind}-{version}" / name
    if not tree.is_dir():
        try:
            with _filling(tree) as new:
                write(new)
        except OSError as error:
            if not tree.is_dir():  # else another process was quicker
                raise OSError(f"{tree}: cannot keep the drawn pictures ({error}); set FER_CACHE elsewhere") from error
    return tree


_sound: set[tuple] = set()
"""The kept arrays that this process has read through."""


def kept_arrays(folder: Path, *keys: str) -> tuple[Arrays, dict] | None:
    """What ``keep_arrays`` kept in a folder: the arrays (images memory-mapped) and their description.

    None if it is missing or damaged, or if the description lacks one of ``keys``. All of it is read through once in
    a process: a bit that a disk has turned would else be trained on.
    """
    expected, then = "what was kept here", "remove this folder; it is made again"
    with suppress(OSError, ValueError):
        about = documents.read_json(folder / "about.json")
        images = map_npy(folder / "images.npy", expected, then)
        labels, split = (
            read_npy((folder / f"{name}.npy").read_bytes(), folder / f"{name}.npy", expected, then)
            for name in ("labels", "split")
        )
        whole = isinstance(about, dict) and {"rows", "sha256", *keys} <= about.keys() and images.ndim > 2
        if whole and labels.shape == split.shape == images.shape[:1] == (about["rows"],):
            if all(array.dtype == np.uint8 for array in (images, labels, split)):
                facts = (folder / "images.npy").stat()
                key = folder, about["sha256"], facts.st_ino, facts.st_size, facts.st_mtime_ns
                if key in _sound or array_hash(images, labels, split) == about["sha256"]:
                    _sound.add(key)
                    return (images, labels, split), about
    return None


def keep_arrays(folder: Path, arrays: Arrays, about: dict) -> None:
    """Keep arrays for ``kept_arrays``, and ``about`` with "rows" and "sha256" added; all or nothing.

    Raises OSError if it cannot be written.
    """
    about = about | {"rows": len(arrays[1]), "sha256": array_hash(*arrays)}
    try:
        with _filling(folder) as new:
            new.mkdir()
            for name, array in zip(("images", "labels", "split"), arrays, strict=True):
                np.save(new / f"{name}.npy", array)
            (new / "about.json").write_text(json.dumps(about), encoding="utf-8")
    except OSError as error:
        if not kept_arrays(folder):  # else another process was quicker with the same arrays
            raise OSError(f"{folder}: cannot keep the parsed data ({error}); set FER_CACHE elsewhere") from error


@contextmanager
def _filling(folder: Path) -> Iterator[Path]:
    """A folder that is made here, whole or not at all: gives the place where, which gets its name last.

    One process makes it at a time, and removes what those left that were killed at it. Raises OSError where it cannot
    be made, also where it is there by then.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        alone = False
        with suppress(RuntimeError):  # no locks here, or another has been at it for long: it is made twice
            lock = system.locked(folder.with_name(f".{folder.name}.lock"), f"filling {folder}", patience=1800)
            stack.enter_context(lock)
            alone = True
        if folder.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))
        for left in folder.parent.glob(f".{folder.name}.*.partial") if alone else ():
            shutil.rmtree(left, ignore_errors=True)
        new = folder.with_name(f".{folder.name}.{writing.MACHINE}-{os.getpid()}.partial")
        try:
            yield new
            new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def banner(faces: Faces) -> str:
    """A Markdown paragraph for the top of a page: what data it was made from."""
    counts = ", ".join(f"{np.sum(faces.split == code):,} {name}" for code, name in enumerate(SPLITS))
    if faces.name.startswith("drawn"):
        return (
            f"> ⚠ **Made from drawn faces** ({counts}), because they were asked for or no real data was found. "
            "They prove that the machinery works and say nothing about the papers."
        )
    source = faces.source
    if faces.name in ("ckplus", "sfew", "afew", "gaf"):
        other = "" if source["official"] else "; not as many files as its owners say"
        return f"> Made from **{SUPPLIED[faces.name][0]}** ({counts}; {source['form']}{other})."
    other = "" if source["official"] else f"; not the official data, read from {source['form']}"
    if faces.name.startswith("affectnet"):
        other = "" if source["official"] else "; not as many rows of each emotion as its owners say"
        left_out = f"; {source['left_out']:,} pictures left out" if source["left_out"] else ""
        return f"> Made from **AffectNet** ({counts}, {source['tests']}; {source['form']}{other}{left_out})."
    if faces.name == "ferplus":
        return f"> Made from **FER2013 with FER+'s labels** ({counts}; {source['ferplus']})."
    return f"> Made from **FER2013** ({counts}; {source['file']}, MD5 {source['md5']}{other})."
