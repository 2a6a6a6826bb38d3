"""AFEW 5.0 to 7.0 (Dhall et al. 2012; Acted Facial Expressions in the Wild): clips of films, supplied by the user.

Its licence is granted on request, so it is never part of this project. A clip lasts about 0.5 to 6 seconds, 720 x 576
pixels at 25 frames a second, and shows one of seven emotions: ``Train_AFEW/Angry/000046280.avi``, likewise
``Val_AFEW``, or ``Train`` and ``Val``. Aligned faces and zip files beside the emotions' folders are not read.

The labels of its test clips are not public, and the field reports its validation set (so Kahou et al. 2015). So
PrivateTest is that; PublicTest, to choose epochs on, is a tenth of its training clips, chosen by their names alone.
The names do not tell the film: clips of one film may be in both Training and PublicTest.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from .. import paths
from ..files import refused, visible
from . import SPLITS
from .emotions import FER2013

SEED = 0
"""Seed of the split: it and a clip's name decide the clip's part."""

ENDINGS = (".avi", ".mp4", ".mkv")
"""How the names of clips end."""

OFFICIAL = ((723, 383), (773, 383))
"""Training and validation clips of AFEW 5.0, and of 6.0 and 7.0."""

HOW = (
    "its licence is granted on request (users.cecs.anu.edu.au/~few_group/AFEW.html); then set AFEW=PATH to the folder "
    "with Train_AFEW/ and Val_AFEW/, or put it into data/afew"
)
"""What to do if ``find()`` finds nothing."""
_PARTS = {"Train_AFEW": ("train_afew", "train"), "Val_AFEW": ("val_afew", "val")}
_OTHERS = ("thumbs.db", "desktop.ini")  # which Windows puts into folders, and hides


def find() -> Path | None:
    """The folder that is read: the environment variable ``AFEW``, else ``data/afew``, or None.

    Raises FileNotFoundError if the variable is set, or something is there, that is no folder.
    """
    return paths.supplied("AFEW", "AFEW", HOW)


def clips(folder: Path) -> list[Clip]:
    """The clips of a folder: Training, PublicTest and PrivateTest, in this order, each in the order of emotion and
    name. No clip is opened.

    Raises ValueError as ``filed`` does.
    """
    found = filed(folder, _PARTS, FER2013, ENDINGS, "clip", f"unpack AFEW again; {HOW}")
    parts = ((path, label, SPLITS.index("PrivateTest") if part else carved(path.name)) for path, label, part in found)
    return sorted((Clip(*each) for each in parts), key=lambda clip: (clip.split, clip.label, clip.path.name))


def carved(name: str) -> int:
    """The part of what has a name in a training set (a file, a film), an index into ``SPLITS``: a tenth of names are
    PublicTest."""
    digest = hashlib.sha256(os.fsencode(f"{SEED} {name}")).digest()
    return SPLITS.index("Training" if int.from_bytes(digest[:8]) % 10 else "PublicTest")


def filed(
    folder: Path, parts: dict[str, tuple[str, ...]], emotions: tuple[str, ...], endings: tuple[str, ...], kind: str,
    again: str,
) -> list[tuple[Path, int, int]]:  # fmt: skip
    """The files of a tree ``part/emotion/file``: path, code in ``emotions``, position in ``parts``.

    parts: the usual name of each part's folder, and its names in small letters, of which the first that is there is
    taken. endings: of the files' names, in small letters. kind: what a file is, in one word, for messages. again: what
    to do where something is missing. Large and small letters are the same everywhere. Hidden files, and folders without
    such a file that are no emotion's, are passed over. Raises ValueError naming file or folder for a part or an emotion
    that is missing, two folders of one emotion, another folder with such files, an emotion without a file, and a file
    of another ending.
    """
    words = [name.capitalize() for name in sorted(emotions)]
    expected = f"{' and '.join(f'{name}/' for name in parts)} with a folder for each of {', '.join(words)}"
    found = []
    for part, (usual, names) in enumerate(parts.items()):
        there = {path.name.lower(): path for path in reversed(visible(folder, "*")) if path.is_dir()}
        place = next((there[name] for name in names if name in there), None)
        if place is None:
            kept = ", ".join(path.name for path in visible(folder, "*")[:8]) or "an empty folder"
            seen = f"no {usual}/, only {kept}" if folder.is_dir() else "no such folder"
            raise refused(folder, seen, expected, again)
        folders: dict[str, Path] = {}
        for path in (path for path in visible(place, "*") if path.is_dir()):
            name = path.name.lower()
            if name in folders:
                raise refused(path, f"a second folder of {name}, beside {folders[name].name}", "one", again)
            if name in emotions:
                folders[name] = path
            elif any(file.suffix.lower() in endings for file in visible(path, "*")):
                raise refused(path, f"a folder of {kind}s of no known emotion", f"one of {', '.join(words)}", again)
        if missing := [name.capitalize() for name in sorted(emotions) if name not in folders]:
            raise refused(place, f"no folder {' or '.join(missing)}", f"one for each of {', '.join(words)}", again)
        for code, name in enumerate(emotions):
            files = [path for path in visible(folders[name], "*") if not path.is_dir()]
            files = [path for path in files if path.name.lower() not in _OTHERS]
            if wrong := [path for path in files if path.suffix.lower() not in endings]:
                then = "put it elsewhere, or convert it"
                raise refused(wrong[0], f"a file that is no {kind} by its name", f"one in {', '.join(endings)}", then)
            if not files:
                raise refused(folders[name], f"no {kind}", f"{kind}s in {', '.join(endings)}", again)
            found += [(path, code, part) for path in files]
    return found


class Clip(NamedTuple):
    """One clip."""

    path: Path
    label: int  # an index into ``emotions.FER2013``
    split: int  # an index into ``SPLITS``
