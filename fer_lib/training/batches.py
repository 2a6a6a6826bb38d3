"""What a training is shown: which rows, in which order, scaled how, towards which targets."""

from __future__ import annotations

import math

import keras
import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from ..data import Faces, audit, near_duplicates
from .protocol import WITHOUT_NEAR, WITHOUT_TWINS, Protocol


def training_rows(faces: Faces, protocol: Protocol) -> np.ndarray:
    """Positions of the rows to train on: ``train_rows``, of each emotion ``at_most`` so many, and of these ``rows``.

    They are sampled once, the same for all seeds.
    """
    leaking = {WITHOUT_TWINS: audit.leaking_rows, WITHOUT_NEAR: near_duplicates.leaking_rows}.get(protocol.train_rows)
    rows = faces.rows("Training" if leaking else protocol.train_rows)
    if leaking:
        rows = rows[~leaking(faces)[rows]]
    for emotion, most in protocol.at_most.items():
        of_emotion = faces.labels[rows] == faces.emotions.index(emotion)
        name = f"{emotion} rows of {protocol.train_rows}"
        kept = sampled_rows(faces, rows[of_emotion], name, f"at_most {emotion}", most)
        rows = np.sort(np.concatenate([rows[~of_emotion], kept]))
    return sampled_rows(faces, rows, protocol.train_rows, "rows", protocol.rows)


def evaluated_rows(faces: Faces, protocol: Protocol) -> np.ndarray:
    """Positions of the rows to predict: all of both tests, or ``test_rows`` of them sampled once, as ``rows`` are."""
    splits = "PublicTest+PrivateTest"
    return sampled_rows(faces, faces.rows(splits), splits, "test_rows", protocol.test_rows)


def sampled_rows(faces: Faces, rows: np.ndarray, name: str, field: str, count: int) -> np.ndarray:
    """``count`` of some rows, ascending, always the same ones; 0: all.

    Raises ValueError, with the rows' ``name`` and the parameter's (``field``), where they are fewer.
    """
    if count > len(rows):
        raise ValueError(f"{field}: found {count}, but {name} of {faces.name} has {len(rows)}")
    return np.sort(np.random.default_rng(0).choice(rows, count, replace=False)) if count else rows


def scaler(images: np.ndarray, input_scale: str):
    """A function from (b, 48, 48) uint8, NumPy's or JAX's, to (b, 48, 48, 1) float32; ``images``: those trained on."""
    if input_scale == "each standardised":
        return each_standardised
    if input_scale == "standardised":
        shift, width = float(images.mean(dtype=np.float64)), float(images.std(dtype=np.float64))
    else:
        shift, width = 0.0, {"0..255": 1.0, "0..1": 255.0}[input_scale]
    return lambda batch: ((batch.astype("float32") - np.float32(shift)) / np.float32(width))[..., None]


def each_standardised(batch):
    """Faces (b, 48, 48) uint8, NumPy's or JAX's, as (b, 48, 48, 1) float32 of mean 0 and deviation 1, each by its own.

    So neither brightness nor contrast of a picture matters. A face of one flat colour becomes all 0: the variance is
    taken one squared grey level higher than it is.
    """
    batch = batch.astype("float32")
    batch = batch - batch.mean(axis=(1, 2), keepdims=True)
    return (batch / ((batch**2).mean(axis=(1, 2), keepdims=True) + 1) ** 0.5)[..., None]


def epoch_order(labels: np.ndarray, sampling: str, seed: int, epoch: int) -> np.ndarray:
    """Which of the (n,) training rows an epoch shows, in which order: (n,) int64 that follow from (seed, epoch) alone.

    "shuffled": each once. "balanced": sampled with replacement, every emotion equally often on average.
    """
    rng = np.random.default_rng([seed, epoch])
    if sampling == "shuffled":
        return rng.permutation(len(labels))
    weights = compute_sample_weight("balanced", labels)
    return rng.choice(len(labels), len(labels), p=weights / weights.sum())


def epoch_targets(faces: Faces, protocol: Protocol, seed: int, epoch: int) -> np.ndarray:
    """What an epoch trains towards: codes, (n,) int32, or the faces' ``targets``, (n, k) float32.

    Codes sampled from these targets follow from (seed, epoch) alone.
    """
    if faces.targets is None:
        return faces.labels.astype(np.int32)
    if protocol.targets == "given":
        return faces.targets
    shares = faces.targets / faces.targets.sum(axis=1, keepdims=True)
    return sampled_targets(shares, np.random.default_rng([seed, epoch, 1])).astype(np.int32)


def sampled_targets(distribution: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One emotion for each row, (n,) uint8, sampled from its ``distribution`` (n, 8), whose rows add up to 1."""
    edges = distribution.cumsum(axis=1)
    places = rng.random((len(distribution), 1)) * edges[:, -1:]
    return (places >= edges).sum(axis=1).clip(max=7).astype(np.uint8)


class Batches(keras.utils.PyDataset):
    """One epoch of training batches: images as the network wants them, targets, and the rows' weights if there are."""

    def __init__(self, images, targets, weights, scale, batch_size: int, order: np.ndarray):
        super().__init__()
        self.arrays = (images, targets) if weights is None else (images, targets, weights)
        self.scale, self.batch_size, self.order = scale, batch_size, order

    def __len__(self):
        return math.ceil(len(self.order) / self.batch_size)

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        images, *rest = (array[rows] for array in self.arrays)
        return self.scale(images), *rest
