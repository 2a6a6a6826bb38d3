"""The emotions of each data set, in the order of their codes, and the mapping from one data set's codes to another's.

Every data set is loaded in FER2013's order, with contempt last if it has that. The other orders are for reading files,
and for networks trained elsewhere.
"""

import numpy as np

FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Code 0 to 6 of the ``emotion`` column (Goodfellow et al. 2013; Kaggle's data page)."""

EIGHT = (*FER2013, "contempt")
"""FER2013's seven emotions and the eighth of AffectNet and FER+."""

FERPLUS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
"""Columns of FER+ (Barsoum et al. 2016), in their order; NF is no face."""

AFFECTNET = (
    "neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt",
    "none", "uncertain", "no face",
)  # fmt: skip
"""Code 0 to 10 of ``expression`` (Mollahosseini et al. 2017)."""

ALPHABETICAL = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
"""The order in which folders named by emotion are numbered, also in re-uploads of AffectNet; never its own codes."""

SYNONYMS = {"anger": "angry", "happiness": "happy", "sadness": "sad", "NF": "no face"}
"""AffectNet's and FER+'s nouns, with FER2013's word for each."""

LABEL_SETS = {
    "fer2013": FER2013,
    "eight": EIGHT,
    "ferplus": FERPLUS[:8],
    "affectnet": AFFECTNET[:8],
    "affectnet7": AFFECTNET[:7],
}
"""The orders that a network's outputs may have, by name."""


def mapping(source: tuple[str, ...], target: tuple[str, ...], leave_out: tuple[str, ...] = ()) -> np.ndarray:
    """For each emotion of ``source``, its code in ``target``: (len(source),) int64.

    Two names are the same emotion only if they are equal or ``SYNONYMS`` says so: contempt is not anger, and none,
    uncertain, unknown and no face are not neutral. An emotion that is left out gets -1. Raises ValueError naming other
    emotions that ``target`` lacks, and for an unknown one to leave out.
    """
    names, known = [SYNONYMS.get(name, name) for name in source], [SYNONYMS.get(name, name) for name in target]
    skipped = [SYNONYMS.get(name, name) for name in leave_out]
    for name in skipped:
        if name not in names:
            raise ValueError(f"leave out: found {name!r}, expected one of {', '.join(names)}")
    lacking = [name for name in names if name not in (*known, *skipped)]
    if lacking:
        raise ValueError(
            f"labels: found {', '.join(lacking)}, which have no counterpart among {', '.join(known)}; "
            "leave them out by name, or take labels that have them"
        )
    return np.array([-1 if name in skipped else known.index(name) for name in names], np.int64)
