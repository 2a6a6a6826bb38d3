"""A group's mood from its faces and from the whole picture, after Tan et al. 2017 (ICMI, doi 10.1145/3136755.3143008).

Two networks, both from scratch: one is shown single faces, labelled with the mood of their picture, and a picture gets
the mean of its faces' probabilities; the other is shown the whole picture, small. Their votes are weighted.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from ..data import Faces
from ..evaluation import ensembles, metrics
from . import loop
from .protocol import Protocol


def train(
    scenes: Faces, faces: np.ndarray, owner: np.ndarray, protocol: Protocol, seed: int, folder: Path | None = None
) -> tuple[dict[str, np.ndarray], Faces, np.ndarray, loop.Training]:
    """Train both networks, and let them vote on each test picture.

    ``scenes``: the pictures as a whole, (n, 48, 48) uint8, with their moods. ``faces`` (m, 48, 48) uint8: all faces in
    them; ``owner`` (m,) the position in ``scenes`` of the picture that each is in.

    Returns the probabilities (k, moods) float32 of the test pictures, "faces", "scene" and "vote"; these pictures; the
    two weights of the vote; and the training of the scenes' network, with the seconds of both. The weights are learned
    on PublicTest, so that PrivateTest is predicted once. A picture without a face has the scene's vote alone. Stopped,
    it goes on as ``train`` does.
    """
    seconds, ids = 0.0, np.arange(len(owner), dtype=np.int32)
    singly = replace(scenes, images=faces, labels=scenes.labels[owner], split=scenes.split[owner], ids=ids)
    read = {}
    for name, shown in (("faces", singly), ("scene", scenes)):
        keras.utils.clear_session()
        place = folder / f"checkpoint-{name}" if folder else None
        result, evaluated = loop.train(shown, protocol, seed, place, lambda line, name=name: print(f"{name}: {line}"))
        seconds += result.seconds
        read[name] = metrics.probabilities(result.logits["last"]), evaluated
    of_scene, tested = read["scene"]
    votes = {"faces": of_scene.copy(), "scene": of_scene}
    of_faces, shown = read["faces"]
    picture = owner[shown.ids]
    for at, row in enumerate(np.flatnonzero(scenes.split > 0)):
        if (own := picture == row).any():
            votes["faces"][at] = of_faces[own].mean(axis=0)
    both = np.stack([votes["faces"], votes["scene"]])
    public = tested.split == 1
    weights = ensembles.learned_weights(both[:, public], tested.labels[public])
    votes["vote"] = ensembles.soft_vote(both, weights).astype(np.float32)
    return votes, tested, weights, replace(result, seconds=seconds)
