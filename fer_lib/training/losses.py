"""The losses of the papers' code and of ours, written out, the same on every Keras backend."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ..evaluation import metrics


def loss_function(form: str, smoothing: float = 0.0):
    """Cross-entropy of each row, (b,) float32, as a function of (labels, logits (b, k) float32).

    Labels are codes, (b,) integer, or targets, (b, k) float32, how much of each emotion is true (``Faces.targets``).
    "logits" takes log-softmax: its gradient never vanishes on a wrong prediction. "clipped" is old Keras (2.1,
    TensorFlow backend): softmax, renormalised, clipped to [1e-7, 1 - 1e-7], then the logarithm. Where a network is so
    sure that softmax gives exactly 0 and 1, the clip passes no gradient and nothing moves any more; a wrong prediction
    then costs -ln(1e-7) = 16.118. Written out, because Keras 3 clips or not depending on its backend. "any of" is for
    faces that several emotions are true of, all alike: "logits" of the likeliest of them (Barsoum et al. 2016).

    Two losses are for labels of which some are wrong. "bootstrapped" (Reed et al. 2015, soft) takes 5 % of each target
    from the network's own prediction. "symmetric" (Wang et al. 2019) is a tenth of the cross-entropy and the reverse
    one, in which the logarithm of a label's 0 is -4: the paper's figures for CIFAR-10.

    "squared hinge" makes the last layer a linear support vector machine (Tang 2013): for each emotion the square of how
    far its output falls short of 1, or of -1 where the emotion is not the label's, added up.

    ``smoothing``, with "logits" only, spreads that share of each label over all emotions (Szegedy et al. 2016).
    """

    def clipped(labels, logits):
        p = ops.softmax(logits)
        p = ops.clip(p / ops.sum(p, axis=-1, keepdims=True), metrics.EPSILON, 1 - metrics.EPSILON)
        return -_of_label(ops.log(p), labels)

    def logits_(labels, logits):
        p = ops.log_softmax(logits)
        loss = -_of_label(p, labels)
        return (1 - smoothing) * loss - smoothing * ops.mean(p, axis=-1) if smoothing else loss

    def any_of(labels, logits):
        return -ops.max(ops.where(_shares(labels, logits) > 0, ops.log_softmax(logits), -np.inf), axis=-1)

    def bootstrapped(labels, logits):
        targets = 0.95 * _shares(labels, logits) + 0.05 * ops.softmax(logits)
        return -ops.sum(targets * ops.log_softmax(logits), axis=-1)

    def symmetric(labels, logits):
        shares = _shares(labels, logits)
        reverse = -ops.sum(ops.softmax(logits) * ops.log(ops.maximum(shares, float(np.exp(-4)))), axis=-1)
        return 0.1 * -_of_label(ops.log_softmax(logits), labels) + reverse

    def squared_hinge(labels, logits):
        signs = 2 * ops.cast(_shares(labels, logits), "float32") - 1
        return keras.losses.squared_hinge(signs, logits) * logits.shape[-1]  # of a mean of the emotions the sum

    return {
        "clipped": clipped,
        "logits": logits_,
        "any of": any_of,
        "bootstrapped": bootstrapped,
        "symmetric": symmetric,
        "squared hinge": squared_hinge,
    }[form]


def _of_label(values, labels):
    return ops.sum(values * _shares(labels, values), axis=-1)


def _shares(labels, values):
    return labels if len(labels.shape) == 2 else ops.one_hot(ops.cast(labels, "int32"), values.shape[-1])
