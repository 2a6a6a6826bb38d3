"""The emotions that the data sets label, in the order of their codes, and how the codes of one become those of another.

Every data set is loaded with FER2013's order, contempt after it where that is there; the other orders stand here for
reading files, and for networks that were trained elsewhere.
"""

import numpy as np

FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Code 0 to 6 of the ``emotion`` column (Goodfellow et al. 2013; Kaggle's data page)."""

EIGHT = (*FER2013, "contempt")
"""FER2013's seven and the eighth that AffectNet and FER+ have."""

FERPLUS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
"""Columns of FER+ (Barsoum et al. 2016), in their order; NF is no face."""

AFFECTNET = (
    "neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt",
    "none", "uncertain", "no face",
)  # fmt: skip
"""Code 0 to 10 of ``expression`` (Mollahosseini et al. 2017)."""

ALPHABETICAL = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
"""The order that folders named by emotion are numbered in, of re-uploads of AffectNet too: never its codes."""

SYNONYMS = {"anger": "angry", "happiness": "happy", "sadness": "sad", "NF": "no face"}
"""Nouns of AffectNet and FER+, and FER2013's word for the same."""

LABEL_SETS = {
    "fer2013": FER2013,
    "eight": EIGHT,
    "ferplus": FERPLUS[:8],
    "affectnet": AFFECTNET[:8],
    "affectnet7": AFFECTNET[:7],
}
"""Orders that a network's outputs may have, by the name to say them with."""


def mapping(source: tuple[str, ...], target: tuple[str, ...], leave_out: tuple[str, ...] = ()) -> np.ndarray:
    """For each emotion of ``source`` its code in ``target``, (len(source),) int64.

    Names are the same emotion when they are equal or ``SYNONYMS`` says so, and nothing else is: contempt is no anger,
    and none, uncertain, unknown and no face are no neutral. Raises ValueError naming those that ``target`` lacks,
    unless they are to be left out, which gives -1, and for one to be left out that is not there.
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
