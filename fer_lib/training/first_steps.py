"""The first steps of many trainings that differ in a few factors: where and how networks collapse.

A sweep takes the same steps as ``loop.train``, on the same batches with the same dropout. For each step it records
``QUANTITIES`` of the batch, before the weights changed:

loss: mean cross-entropy of the batch, without weight penalty.
accuracy: share of its rows predicted correctly, dropout on.
saturated: share of its rows where the label's probability is outside [1e-7, 1 - 1e-7], so that clipping removes the
    row's gradient.
gradient_norm: Euclidean norm of the gradient of ``loss`` over all weights; the weight penalty's is left out, which does
    not depend on the faces.
dead: share of the hidden ReLU units (in convolutions: filters) that are 0 for every row of the batch, at every place.
most_given_share: share of the batch for which the most frequent class is predicted.
"""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import keras
import numpy as np
from keras import ops
from tqdm.auto import tqdm

from .. import models
from ..data import Faces
from ..evaluation import metrics
from ..files import arrays, writing
from . import backends, batches, loop, losses, optimizers
from .protocol import Protocol

QUANTITIES = ("loss", "accuracy", "saturated", "gradient_norm", "dead", "most_given_share")


@dataclass
class Sweep:
    """The result of a sweep; the arrays' first axis follows ``settings``."""

    settings: list[dict]  # one line each, as in the record under "sweep": see ``line``
    traces: dict[str, np.ndarray]  # for each of QUANTITIES, (settings, steps) float32
    predictions: np.ndarray  # (settings, m) uint8: the classes of the evaluated faces, after each setting's last step
    parameter_count: int
    seconds: float

    def arrays(self) -> dict[str, np.ndarray]:
        """What a record keeps besides the evaluated rows."""
        return {"answers": self.predictions} | {f"trace_{name}": values for name, values in self.traces.items()}


def factorial(
    base: Protocol, input_scales: list[str], losses: list[str], rate_factors: list[float], seeds: list[int]
) -> list[tuple[Protocol, int]]:
    """Every combination of the factors' levels, everything else shared: (protocol, seed) of each setting.

    ``rate_factors`` multiply the learning rate. Raises ValueError if a factor has no level, or one twice, and what
    ``Protocol`` raises.
    """
    factors = {"input_scales": input_scales, "losses": losses, "rate_factors": rate_factors, "seeds": seeds}
    for name, levels in factors.items():
        if not levels or len(set(levels)) < len(levels):
            raise ValueError(f"{name}: found {levels}, expected one level or more, each once")
    for factor in rate_factors:
        if type(factor) not in (int, float) or not factor > 0:
            raise ValueError(f"rate_factors: found {factor!r}, expected numbers above 0")
    return [
        (replace(base, input_scale=scale, loss=loss, learning_rate=float(f"{base.learning_rate * factor:.6g}")), seed)
        for scale, loss, factor, seed in itertools.product(*factors.values())
    ]


def evaluated_rows(faces: Faces, count: int) -> np.ndarray:
    """Positions of the PublicTest rows to predict after the last step: ``count`` of them sampled once; 0: all."""
    return batches.sampled_rows(faces, faces.rows("PublicTest"), "PublicTest", "asked", count)


def sweep(
    faces: Faces, settings: list[tuple[Protocol, int]], steps: int, evaluated: Faces, folder: Path | None = None
) -> Sweep:
    """Take the first ``steps`` steps of each setting, then predict the ``evaluated`` faces.

    With a ``folder`` each finished setting is kept there, and a later sweep continues with the rest. Raises ValueError
    if there are no steps to take, and for settings that ``take_steps`` does not support.
    """
    if steps < 1:
        raise ValueError(f"steps: found {steps}, expected 1 or more")
    lines, traces, predictions, seconds, count = [], [], [], 0.0, 0
    for number, (protocol, seed) in enumerate(settings):
        identity = {"protocol": asdict(protocol), "seed": seed, "steps": steps, "data": faces.sha256}
        identity |= {"asked": evaluated.ids.tolist(), "backend": backends.BACKEND}
        path = folder and folder / "checkpoint-settings" / f"{number:04d}.npz"
        if (done := _restore(path, identity)) is None:
            started = time.monotonic()
            trace, predicted, count = take_steps(faces, protocol, seed, steps, evaluated)
            done = {"trace": trace, "given": predicted, "seconds": time.monotonic() - started, "count": count}
            _save(path, identity, done)
        lines.append(line(protocol, seed, done["trace"], done["given"], evaluated))
        traces.append(done["trace"])
        predictions.append(done["given"])
        seconds, count = seconds + float(done["seconds"]), int(done["count"])
        print(_setting_line(number + 1, len(settings), lines[-1]), flush=True)
    by_quantity = dict(zip(QUANTITIES, np.moveaxis(np.array(traces, np.float32), 2, 0)))
    return Sweep(lines, by_quantity, np.array(predictions, np.uint8), count, seconds)


def take_steps(
    faces: Faces, protocol: Protocol, seed: int, steps: int, evaluated: Faces
) -> tuple[np.ndarray, np.ndarray, int]:
    """One setting: its trace (steps, QUANTITIES) float32, the predicted classes of ``evaluated``, (m,) uint8, and its
    number of weights.

    Raises ValueError for what a sweep does not support: augmentation, class weights, another precision than float32;
    and where predictions or weights are not finite in the end.
    """
    for name in ("augmentation", "class_weights", "precision"):
        if getattr(protocol, name) != getattr(Protocol(), name):
            raise ValueError(f"{name}: found {getattr(protocol, name)}, a sweep takes {getattr(Protocol(), name)} only")
    backends.make_deterministic(seed)
    keras.config.set_dtype_policy("float32")
    fitted = faces.select(batches.training_rows(faces, protocol))
    labels, scale = fitted.labels.astype(np.int32), batches.scaler(fitted.images, protocol.input_scale)
    network = models.build(protocol.model, protocol.model_options)
    step = _stepper(network, optimizers.make_optimizer(protocol), losses.loss_function(protocol.loss))
    trace, epoch = [], 0
    with tqdm(total=steps, desc="steps", leave=False) as bar:
        while len(trace) < steps:
            epoch += 1
            loop.reseed(network, seed, epoch)
            order = batches.epoch_order(labels, protocol.sampling, seed, epoch)
            starts = range(0, len(order), protocol.batch_size)
            for start in starts[: steps - len(trace)]:
                rows = order[start : start + protocol.batch_size]
                trace.append(step(scale(fitted.images[rows]), labels[rows]))
                bar.update()
    parts = [scale(evaluated.images[start : start + 256]) for start in range(0, len(evaluated), 256)]
    logits = np.concatenate([ops.convert_to_numpy(network(part, training=False)) for part in parts])
    setting = f"{protocol.input_scale}, {protocol.loss}, rate {protocol.learning_rate:g}, seed {seed}"
    arrays.check_finite(logits, f"{setting}, step {steps}", loop.DIVERGED)
    models.check_finite(network, f"{setting}, step {steps}", loop.DIVERGED)
    return np.array(trace, np.float32), logits.argmax(axis=1).astype(np.uint8), network.count_params()


def _stepper(network: keras.Model, optimizer: keras.Optimizer, loss):
    """A function of inputs (b, 48, 48, 1) and labels (b,) that takes one step and returns the batch's QUANTITIES."""
    relus = [layer.output for layer in network.layers if _is_relu(layer)]
    watched = keras.Model(network.inputs, [network.outputs[0], *relus])
    variables, others = watched.trainable_variables, watched.non_trainable_variables
    optimizer.build(variables)

    def forward(weights, state, inputs, labels):
        (logits, *units), state = watched.stateless_call(weights, state, inputs, training=True)
        losses, counts = loss(labels, logits), ops.sum(ops.one_hot(ops.argmax(logits, axis=-1), 7), axis=0)
        p = ops.softmax(logits)
        p = ops.take_along_axis(p / ops.sum(p, axis=-1, keepdims=True), labels[:, None], axis=-1)
        clipped = ops.logical_or(p < metrics.EPSILON, p > 1 - metrics.EPSILON)
        dead = [ops.all(each <= 0, axis=tuple(range(len(each.shape) - 1))) for each in units]
        correct = ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), labels)
        shown = correct, clipped, ops.concatenate(dead), counts / ops.sum(counts)
        return ops.mean(losses), ([ops.cast(each, "float32") for each in shown], state)

    def penalty(weights):
        pairs = [(variable.regularizer, weight) for variable, weight in zip(variables, weights)]
        return sum(regularizer(weight) for regularizer, weight in pairs if regularizer), ()

    forward_and_back = backends.value_and_gradient(forward)
    of_penalty = backends.value_and_gradient(penalty) if any(v.regularizer for v in variables) else None

    def step(inputs: np.ndarray, labels: np.ndarray) -> list[float]:
        weights, state = ([ops.convert_to_tensor(v) for v in group] for group in (variables, others))
        (value, (shown, state)), gradients = forward_and_back(weights, state, inputs, labels)
        norm = sum(float(ops.sum(ops.square(gradient))) for gradient in gradients) ** 0.5
        if of_penalty:
            gradients = [ops.add(*pair) for pair in zip(gradients, of_penalty(weights)[1])]
        for variable, now in zip(others, state):
            variable.assign(now)
        optimizer.apply(gradients, variables)
        correct, clipped, dead, shares = map(ops.convert_to_numpy, shown)
        return [float(value), correct.mean(), clipped.mean(), norm, dead.mean(), shares.max()]

    return step


def _is_relu(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.ReLU) or getattr(layer, "activation", None) is keras.activations.relu


def line(protocol: Protocol, seed: int, trace: np.ndarray, predicted: np.ndarray, evaluated: Faces) -> dict:
    """The record's line for one setting, as plain values.

    Its factors; ``steps``; ``collapsed_to``, the emotion that it predicts for 99 % of the ``evaluated`` faces or more,
    or None; ``most_given_share`` and ``accuracy``, 0 to 1, on these; ``first_loss`` and ``final_loss`` of the batches;
    ``stuck_since``, the step (from 1) from which the gradient stays 0 to the end, or None.
    """
    loss, norm = (trace[:, QUANTITIES.index(name)] for name in ("loss", "gradient_norm"))
    score = metrics.score(predicted, evaluated.labels)
    moving = np.flatnonzero(norm > 0)
    stuck_since = int(moving[-1]) + 2 if len(moving) else 1
    factors = ("model", "optimizer", "input_scale", "loss", "learning_rate", "batch_size")
    return {name: getattr(protocol, name) for name in factors} | {
        "seed": seed,
        "steps": len(trace),
        "collapsed_to": metrics.collapsed(score),
        "most_given_share": max(score["predicted"]) / len(evaluated),
        "accuracy": score["accuracy"],
        "first_loss": float(loss[0]),
        "final_loss": float(loss[-1]),
        "stuck_since": stuck_since if stuck_since <= len(trace) else None,
    }


def _setting_line(number: int, count: int, line: dict) -> str:
    outcome = f"collapsed to {line['collapsed_to']}" if line["collapsed_to"] else "no collapse"
    stuck = f", no gradient from step {line['stuck_since']} on" if line["stuck_since"] else ""
    setting = f"{line['input_scale']}, {line['loss']}, rate {line['learning_rate']:g}, seed {line['seed']}"
    return f"setting {number} of {count}: {setting}: {outcome}{stuck}, loss {line['final_loss']:.2f}"


def _save(path: Path | None, identity: dict, done: dict) -> None:
    """Keep a finished setting, completely or not at all."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing.replacing(path) as file:
        np.savez(file, identity=json.dumps(identity), **done)


def _restore(path: Path | None, identity: dict) -> dict | None:
    """A finished setting; None if it is not finished, was another one, or is damaged."""
    if path is None or not path.exists():
        return None
    try:
        names = ("identity", "trace", "given", "seconds", "count")
        done = arrays.read_npz(path, path, "a finished setting", "it is made again", names)
        return done if json.loads(str(done.pop("identity"))) == identity else None
    except ValueError as error:
        print(error, flush=True)
        return None
