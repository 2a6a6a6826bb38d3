"""The optimiser that a protocol asks for."""

from __future__ import annotations

import keras

from .protocol import Protocol


def make_optimizer(protocol: Protocol, steps: int = 0, shares: list[float] | None = None) -> keras.Optimizer:
    """The optimiser of a protocol. ``decay`` is old Keras' per-step decay: lr / (1 + decay x step).

    ``steps``: of its whole training; only the cosine schedule needs it. ``shares``: of the learning rate, for each
    trainable variable in their order; None: all of it for all.
    """
    rate = protocol.learning_rate
    if protocol.decay:
        rate = keras.optimizers.schedules.InverseTimeDecay(rate, decay_steps=1, decay_rate=protocol.decay)
    if protocol.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, decay_steps=steps)
    kinds = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop, "sgd": keras.optimizers.SGD}
    make = kinds[protocol.optimizer] if shares is None else _sharing(kinds[protocol.optimizer], shares)
    own = {"momentum": protocol.momentum} if protocol.optimizer == "sgd" else {"epsilon": protocol.epsilon}
    return make(rate, weight_decay=protocol.weight_decay or None, **own)


def _sharing(kind: type, shares: list[float]) -> type:
    class Sharing(kind):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient, variable, learning_rate * shares[self._get_variable_index(variable)])

    return Sharing
