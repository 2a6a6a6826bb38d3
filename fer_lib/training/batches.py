"""What a training is shown: which rows, in which order, scaled how, towards which targets."""

from __future__ import annotations

import math

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

    Codes sampled from these targets follow from (seed, epoch) alone. Where faces are mixed, codes become targets too.
    """
    codes = faces.labels.astype(np.int32)
    if faces.targets is not None and protocol.targets == "given":
        return faces.targets
    if faces.targets is not None:
        shares = faces.targets / faces.targets.sum(axis=1, keepdims=True)
        codes = sampled_targets(shares, np.random.default_rng([seed, epoch, 1])).astype(np.int32)
    return codes if protocol.mixing == "none" else np.eye(len(faces.emotions), dtype=np.float32)[codes]


def sampled_targets(distribution: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One emotion for each row, (n,) uint8, sampled from its ``distribution`` (n, 8), whose rows add up to 1."""
    edges = distribution.cumsum(axis=1)
    places = rng.random((len(distribution), 1)) * edges[:, -1:]
    return (places >= edges).sum(axis=1).clip(max=7).astype(np.uint8)


def epoch_mixing(order: np.ndarray, side: int, protocol: Protocol, seed: int, epoch: int) -> tuple[np.ndarray, ...]:
    """What each of an epoch's faces is mixed with, in their ``order``; () for nothing. It follows from (seed, epoch).

    partners (m,) int64: the order, shuffled. patches (m, 6) float32: of the partner's patch its share of the pixels,
    top, bottom, left and right (pixels, 0 to ``side``), and the partner's share of the label. "mixup" (Zhang et al.
    2018): all of the picture, by a share of Beta(alpha, alpha). "cutmix" (Yun et al. 2019): a square with such a share
    of the picture's area, anywhere, as far as it lies inside; it hides the face's own pixels.
    """
    if protocol.mixing == "none":
        return ()
    rng = np.random.default_rng([seed, epoch, 2])
    partners, n = rng.permutation(order), len(order)
    shares = rng.beta(protocol.mixing_alpha, protocol.mixing_alpha, n)
    if protocol.mixing == "mixup":
        patches = [shares, np.zeros(n), np.full(n, side), np.zeros(n), np.full(n, side), shares]
    else:
        half, (down, right) = side * np.sqrt(shares) / 2, rng.uniform(0, side, (2, n))
        edges = [np.rint(place).clip(0, side) for place in (down - half, down + half, right - half, right + half)]
        top, bottom, left, right = edges
        patches = [np.ones(n), *edges, (bottom - top) * (right - left) / side**2]
    return partners, np.stack(patches, axis=1).astype(np.float32)


def shown(arrays: tuple, rows, partners=None, patches=None) -> list:
    """A batch's ``rows`` of images (n, h, w), targets (n, k) and weights, NumPy's or JAX's, mixed with their partners'
    if they have any (see ``epoch_mixing``): images become float32."""
    own = [array[rows] for array in arrays]
    if partners is None:
        return own
    images, targets, *weights = own
    share, top, bottom, left, right, of_label = patches.T[..., None, None]
    height, width = (np.arange(side, dtype=np.float32) for side in images.shape[1:])
    down, across = height[None, :, None], width[None, None, :]
    theirs = share * ((down >= top) & (down < bottom) & (across >= left) & (across < right))
    mixed = (1 - theirs) * images + theirs * arrays[0][partners]
    return [mixed, (1 - of_label[..., 0]) * targets + of_label[..., 0] * arrays[1][partners], *weights]


class Batches:
    """One epoch of training batches, a sequence: images as the network wants them, targets, and the rows' weights, if
    there are.

    ``mixing``: what ``epoch_mixing`` gives.
    """

    def __init__(self, images, targets, weights, scale, batch_size: int, order: np.ndarray, mixing=()):
        self.arrays = (images, targets) if weights is None else (images, targets, weights)
        self.scale, self.batch_size, self.order, self.mixing = scale, batch_size, order, mixing

    def __len__(self):
        return math.ceil(len(self.order) / self.batch_size)

    def __getitem__(self, index):
        batch = slice(index * self.batch_size, (index + 1) * self.batch_size)
        rows, *mixing = (array[batch] for array in (self.order, *self.mixing))
        images, *rest = shown(self.arrays, rows, *mixing)
        return self.scale(images), *rest
