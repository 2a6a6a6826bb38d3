"""The optimiser that a protocol asks for."""

from __future__ import annotations

import math

import keras
from keras import ops

from .protocol import Protocol


def make_optimizer(
    protocol: Protocol, steps: int = 0, warm_steps: int = 0, shares: list[float] | None = None
) -> keras.Optimizer:
    """The optimiser of a protocol. ``decay`` is old Keras' per-step decay: lr / (1 + decay x step).

    ``steps``: of its whole training; only the falling schedules need it. ``warm_steps``: of these, the first ones, over
    which the learning rate rises evenly from 0. ``shares``: of the learning rate, for each trainable variable in their
    order; None: all of it for all. With ``ema`` the optimiser has ``average``, see ``_averaging``.
    """
    rate, rest = protocol.learning_rate, max(1, steps - warm_steps)
    schedules = keras.optimizers.schedules
    if protocol.decay:
        rate = schedules.InverseTimeDecay(rate, decay_steps=1, decay_rate=protocol.decay)
    if protocol.schedule == "cosine":
        rate = schedules.CosineDecay(rate, decay_steps=rest)
    if protocol.schedule == "linear":
        rate = schedules.PolynomialDecay(rate, decay_steps=rest, end_learning_rate=0.0)
    if warm_steps:
        rate = _Warm(rate, warm_steps)
    weight_decay = protocol.weight_decay or None
    kind, own = {
        "adam": (keras.optimizers.Adam, {"epsilon": protocol.epsilon}),
        "rmsprop": (keras.optimizers.RMSprop, {"epsilon": protocol.epsilon}),
        "sgd": (keras.optimizers.SGD, {"momentum": protocol.momentum, "nesterov": protocol.nesterov}),
        "muon": (KernelMuon, {"adam_weight_decay": weight_decay}),  # of the weights that its Adam moves
    }[protocol.optimizer]
    if shares is not None:
        kind = _sharing(kind, shares)
    if protocol.ema:
        kind, own = _averaging(kind), own | {"use_ema": True, "ema_momentum": protocol.ema}
    return kind(rate, weight_decay=weight_decay, **own)


class _Warm(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate (a number or a schedule) that is reached after some steps, evenly rising; then it goes on."""

    def __init__(self, rate, steps: int):
        self.rate, self.steps = rate, steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        peak, later = self.rate, self.rate
        if callable(self.rate):
            peak, later = self.rate(0), self.rate(ops.maximum(step - self.steps, 0.0))
        return ops.where(step < self.steps, peak * (step + 1) / (self.steps + 1), later)


class KernelMuon(keras.optimizers.Muon):
    """Muon (Jordan et al. 2024) for convolutions too: Keras' own takes matrices only, and the rest by Adam. A kernel is
    the matrix of its filters. The last layer is left to Adam, as its authors do."""

    def _should_use_adamw(self, variable):
        return len(variable.shape) < 2 or "logits" in variable.path

    def zeropower_via_newtonschulz5(self, x, steps: int):
        return ops.reshape(super().zeropower_via_newtonschulz5(ops.reshape(x, (-1, x.shape[-1])), steps), x.shape)

    def lr_adjust(self, x):
        return x * self.rms_rate * max(math.prod(x.shape[:-1]), x.shape[-1]) ** 0.5


def _sharing(kind: type, shares: list[float]) -> type:
    class Sharing(kind):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient, variable, learning_rate * shares[self._get_variable_index(variable)])

    return Sharing


def _averaging(kind: type) -> type:
    class Averaging(kind):
        def finalize_variable_values(self, var_list):
            """Nothing: ``fit`` calls this after each epoch, and would go on from the average."""

        def average(self, variables: list) -> None:
            """Put the moving average of the weights in their place."""
            super().finalize_variable_values(variables)
            for variable in variables:
                variable.assign(ops.copy(variable.value))  # JAX may overwrite what it shares with the average

    return Averaging
