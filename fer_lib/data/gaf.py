"""GAF 2.0 (Dhall et al. 2015; the Group Affect Database): pictures of groups of people, supplied by the user.

Its licence is granted on request, so it is never part of this project. It is read as the challenge EmotiW 2017 gave it
out: ``Train/Positive/pos_1.jpg``, likewise ``Validation`` (or ``Val``), with folders Positive, Neutral and Negative for
how the group feels as a whole.

The labels of its test pictures are not public. So PrivateTest is its validation set, on which Tan et al. 2017 report
83.9 % (and 80.9 % on the test pictures); PublicTest, to choose epochs on, is a tenth of its training pictures, chosen
by their names alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from .. import paths
from ..files.pictures import ENDINGS
from . import SPLITS
from .afew import carved, filed

EMOTIONS = ("positive", "neutral", "negative")
"""Code 0 to 2 of a label."""

OFFICIAL = (3_630, 2_068)
"""Training and validation pictures of the challenge of 2017."""

HOW = (
    "its licence is granted on request (users.cecs.anu.edu.au/~few_group/Group.htm); then set GAF=PATH to the folder "
    "with Train/ and Validation/, or put it into data/gaf"
)
"""What to do if ``find()`` finds nothing."""
_PARTS = {"Train": ("train", "train_"), "Validation": ("validation", "validation_", "val", "val_")}


def find() -> Path | None:
    """The folder that is read: the environment variable ``GAF``, else ``data/gaf``, or None.

    Raises FileNotFoundError if the variable is set, or something is there, that is no folder.
    """
    return paths.supplied("GAF", "GAF 2.0", HOW)


def pictures(folder: Path) -> list[Picture]:
    """The pictures of a folder: Training, PublicTest and PrivateTest, in this order, each in the order of emotion and
    name. No picture is opened.

    Raises ValueError as ``afew.filed`` does.
    """
    found = filed(folder, _PARTS, EMOTIONS, ENDINGS, "picture", f"unpack GAF 2.0 again; {HOW}")
    parts = ((path, label, SPLITS.index("PrivateTest") if part else carved(path.name)) for path, label, part in found)
    return sorted((Picture(*each) for each in parts), key=lambda one: (one.split, one.label, one.path.name))


class Picture(NamedTuple):
    """One picture of a group."""

    path: Path
    label: int  # an index into ``EMOTIONS``
    split: int  # an index into ``SPLITS``
