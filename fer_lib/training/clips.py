"""An emotion from a film clip, after Ebrahimi Kahou et al. 2015 (ICMI, doi 10.1145/2818346.2830596).

A network for single faces gives the features of every frame; a recurrent network of rectified linear units that begins
as the identity (IRNN, Le et al. 2015, arXiv 1504.00941) reads them one after the other.
"""

from __future__ import annotations

import time

import keras
import numpy as np
from tqdm.auto import tqdm

from .. import system
from ..evaluation import metrics
from ..files import arrays
from ..models import related
from . import backends
from .batches import each_standardised
from .losses import loss_function

CLIP_NORM = 1.0
"""How long a gradient may be at most: what keeps a recurrence of rectified linear units from growing without end."""


LEAST = 0.1
"""By how much of the largest deviation among the features one is divided at least."""


def features(network: keras.Model, frames: np.ndarray) -> np.ndarray:
    """What a network for single faces (``models.related.kahou``) finds in each frame, before its last dropout: frames
    (n, t, 48, 48) uint8 to (n, t, k) float32. One clip's batch after the other is in memory as floats."""
    inner = network.layers[-1] if isinstance(network.layers[-1], keras.Model) else network  # behind augmentation
    upto = keras.Model(inner.inputs, inner.get_layer("features").output)
    found = [upto.predict_on_batch(each_standardised(clip)) for clip in tqdm(frames, "features", leave=False)]
    return np.stack(found).astype(np.float32)


def averaged_probabilities(network: keras.Model, frames: np.ndarray) -> np.ndarray:
    """What a network for single faces predicts of each clip, (n, t, 48, 48) uint8, as the mean over its frames: (n, 7)
    float32. What Ebrahimi Kahou et al. compare their recurrent network with."""
    each = (network.predict_on_batch(each_standardised(clip)) for clip in frames)
    return np.stack([metrics.probabilities(logits).mean(axis=0) for logits in each])


def train(
    found: np.ndarray,
    labels: np.ndarray,
    split: np.ndarray,
    *,
    units: int,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    seed: int,
) -> tuple[keras.Model, np.ndarray, list[dict]]:
    """Train a recurrent network (``models.related.irnn``) on features (n, t, k) of labelled clips, by Adam.

    ``split`` (n,): codes of Training, PublicTest and PrivateTest. Features are first scaled by the mean and
    deviation of each over the training clips. Returns the network, the logits of all clips after the last epoch,
    (n, 7) float32, and the history, as ``loop.train`` has it. It begins anew from the seed, whatever was trained
    before. Raises ValueError for features that are not finite, and where the training diverges.
    """
    backends.make_deterministic(seed)
    arrays.check_finite(found, "features", "train the network for single faces again")
    training = np.flatnonzero(split == 0)
    mean, deviation = found[training].mean(axis=(0, 1)), found[training].std(axis=(0, 1))
    # A feature that hardly ever moves in training would be thrown far off by one clip in which it does.
    inputs = (found - mean) / np.maximum(deviation, LEAST * deviation.max() + 1e-12)
    network = related.irnn(*found.shape[1:], units)
    optimizer = keras.optimizers.Adam(learning_rate, clipnorm=CLIP_NORM)
    network.compile(optimizer, loss_function("logits"), metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")])
    history, logits = [], None
    for epoch in range(1, epochs + 1):
        clock = time.monotonic()
        order = np.random.default_rng([seed, epoch]).permutation(training)
        network.reset_metrics()
        for at in range(0, len(order), batch_size):
            rows = order[at : at + batch_size]
            means = network.train_on_batch(inputs[rows], labels[rows], return_dict=True)
        entry = {name: float(value) for name, value in means.items()}
        logits = np.asarray(network.predict(inputs, batch_size=256, verbose=0), np.float32)
        arrays.check_finite(logits, f"epoch {epoch}", "the training diverged: lower learning_rate")
        losses, correct = metrics.cross_entropy(logits, labels, "logits"), logits.argmax(axis=1) == labels
        sets = {"PublicTest": split == 1, "PrivateTest": split == 2, "PublicTest+PrivateTest": split > 0}
        for name, rows in sets.items():
            entry |= {f"{name}_loss": float(losses[rows].mean()), f"{name}_accuracy": float(correct[rows].mean())}
        seconds = time.monotonic() - clock
        entry |= {"epoch": epoch, "penalty": 0.0, "learning_rate": learning_rate}
        history.append(entry | {"seconds": seconds, "training_seconds": seconds})
        system.tell(f"clips, epoch {epoch}/{epochs}, about {system.clock(seconds * (epochs - epoch))} left")
    return network, logits, history
