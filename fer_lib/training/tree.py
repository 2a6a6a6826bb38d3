"""The decision tree of Saravanan et al. 2019 (section IV.C.1, Table I) on raw pixels. Needs no deep-learning engine."""

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

from ..data import Faces


def split(faces: Faces, random_split: bool, seed: int) -> tuple[Faces, Faces]:
    """The faces to fit on and those to score, disjoint.

    ``random_split``: a fifth of all rows sampled with ``seed``, as the released notebook does (of FER2013 7,178 rows,
    but not *the* 7,178); otherwise Training, and PublicTest with PrivateTest.
    """
    if not random_split:
        return faces.select(faces.rows("Training")), faces.select(faces.rows("PublicTest+PrivateTest"))
    fitted, held_out = train_test_split(np.arange(len(faces)), test_size=0.2, random_state=seed)
    return faces.select(np.sort(fitted)), faces.select(np.sort(held_out))


def fit(
    fitted: Faces, evaluated: Faces, min_samples_split: int, seed: int, **others
) -> tuple[DecisionTreeClassifier, np.ndarray]:
    """Fit scikit-learn's default tree but for ``min_samples_split`` (the paper: 40) on (n, 2304) grey levels.

    ``seed`` breaks ties between equally good splits. ``others`` are further parameters of scikit-learn's
    ``DecisionTreeClassifier``; a ``max_depth`` of 0 sets no limit. Returns the tree and its (m, 7) float64
    probabilities for ``evaluated``. Raises ValueError where ``fitted`` lacks one of the emotions: its column would be
    missing.
    """
    absent = sorted(set(range(len(fitted.emotions))) - set(np.unique(fitted.labels).tolist()))
    if absent:
        raise ValueError(f"no training row is {fitted.emotions[absent[0]]}; expected every emotion; use more rows")
    others = others | {"max_depth": others.get("max_depth") or None}
    tree = DecisionTreeClassifier(min_samples_split=min_samples_split, random_state=seed, **others)
    tree.fit(fitted.images.reshape(len(fitted), -1), fitted.labels)
    return tree, tree.predict_proba(evaluated.images.reshape(len(evaluated), -1))
