"""Training under a stated protocol, resumable after any epoch, the same on every Keras backend."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import ops
from sklearn.utils.class_weight import compute_sample_weight
from tqdm.auto import tqdm

from . import audit, augmentation, backends, checkpoints, metrics, models, weights
from .datasets import Faces
from .protocol import WITHOUT_TWINS, Protocol


@dataclass
class Training:
    """What a training run leaves. Logits are (m, 7) float32 for the evaluated faces, in their order."""

    model: keras.Model
    history: list[dict]
    logits: dict[str, np.ndarray]  # of the "last" and the "best" epoch, and of the "milestone" where one was reached
    best_epoch: int
    seconds: float
    weights: dict | None = None  # file and SHA-256 of the pretrained weights, where it began with some


def loss_function(form: str):
    """Cross-entropy of each row, (b,) float32, as a function of (labels (b,) integer, logits (b, 7) float32).

    "logits" takes log-softmax: its gradient never vanishes on a wrong answer. "clipped" is old Keras (2.1,
    TensorFlow backend): softmax, renormalised, clipped to [1e-7, 1 - 1e-7], then the logarithm. Where a network is so
    sure that softmax gives exactly 0 and 1, the clip passes no gradient and nothing moves any more; a wrong answer
    then costs -ln(1e-7) = 16.118. Written out, because Keras 3 clips or not depending on its backend.
    """

    def clipped(labels, logits):
        p = ops.softmax(logits)
        p = ops.clip(p / ops.sum(p, axis=-1, keepdims=True), metrics.EPSILON, 1 - metrics.EPSILON)
        return -ops.log(_of_label(p, labels))

    def logits_(labels, logits):
        return -_of_label(ops.log_softmax(logits), labels)

    return {"clipped": clipped, "logits": logits_}[form]


def _of_label(values, labels):
    return ops.sum(values * ops.one_hot(ops.cast(labels, "int32"), values.shape[-1]), axis=-1)


def make_optimizer(protocol: Protocol, shares: list[float] | None = None) -> keras.Optimizer:
    """The optimiser of a protocol. ``decay`` is old Keras' per-step decay: lr / (1 + decay x step).

    ``shares``: of the learning rate, for each trainable variable in their order; None: all of it for all.
    """
    rate = protocol.learning_rate
    if protocol.decay:
        rate = keras.optimizers.schedules.InverseTimeDecay(rate, decay_steps=1, decay_rate=protocol.decay)
    kinds = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop, "sgd": keras.optimizers.SGD}
    make = kinds[protocol.optimizer] if shares is None else _sharing(kinds[protocol.optimizer], shares)
    own = {"momentum": protocol.momentum} if protocol.optimizer == "sgd" else {"epsilon": protocol.epsilon}
    return make(rate, weight_decay=protocol.weight_decay or None, **own)


def _sharing(kind: type, shares: list[float]) -> type:
    class Sharing(kind):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient, variable, learning_rate * shares[self._get_variable_index(variable)])

    return Sharing


def compile_for(epoch: int, model: keras.Model, network: keras.Model, protocol: Protocol) -> None:
    """Compile a model, with a fresh optimiser, to train what an epoch (counted from 1) shall train.

    ``network`` is the model without augmentation. Frozen layers get no gradient, and their batch normalisation
    takes the means and variances that it has.
    """
    *body, head = network.layers
    if protocol.frozen_epochs:
        for layer in body:
            layer.trainable = epoch > protocol.frozen_epochs
    own = {id(variable) for variable in head.trainable_variables}
    shares = [1.0 if id(variable) in own else protocol.body_rate for variable in model.trainable_variables]
    model.compile(
        make_optimizer(protocol, shares if protocol.body_rate != 1 else None),
        loss_function(protocol.loss),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=backends.BACKEND == "jax",  # XLA makes TensorFlow slower on a CPU
    )


def training_rows(faces: Faces, protocol: Protocol) -> np.ndarray:
    """Positions of the rows to train on: ``train_rows``, of each emotion ``at_most`` so many, and of these ``rows``.

    What is drawn is drawn once, the same for all seeds.
    """
    without_twins = protocol.train_rows == WITHOUT_TWINS
    rows = faces.rows("Training" if without_twins else protocol.train_rows)
    if without_twins:
        rows = rows[~audit.leaking_rows(faces)[rows]]
    for emotion, most in protocol.at_most.items():
        of_emotion = faces.labels[rows] == faces.emotions.index(emotion)
        kept = drawn(faces, rows[of_emotion], f"{emotion} rows of {protocol.train_rows}", f"at_most {emotion}", most)
        rows = np.sort(np.concatenate([rows[~of_emotion], kept]))
    return drawn(faces, rows, protocol.train_rows, "rows", protocol.rows)


def evaluated_rows(faces: Faces, protocol: Protocol) -> np.ndarray:
    """Positions of the rows to predict: all of both tests, or ``test_rows`` of them drawn once, as ``rows`` are."""
    splits = "PublicTest+PrivateTest"
    return drawn(faces, faces.rows(splits), splits, "test_rows", protocol.test_rows)


def drawn(faces: Faces, rows: np.ndarray, name: str, field: str, count: int) -> np.ndarray:
    """``count`` of some rows, ascending, always the same ones; 0: all.

    Raises ValueError, with the rows' ``name`` and the parameter's (``field``), where they are fewer.
    """
    if count > len(rows):
        raise ValueError(f"{field}: found {count}, but {name} of {faces.name} has {len(rows)}")
    return np.sort(np.random.default_rng(0).choice(rows, count, replace=False)) if count else rows


def scaler(images: np.ndarray, input_scale: str):
    """A function from (b, 48, 48) uint8, NumPy's or JAX's, to (b, 48, 48, 1) float32; ``images``: those trained on."""
    shift, width = {"0..255": (0.0, 1.0), "0..1": (0.0, 255.0), "standardised": (None, None)}[input_scale]
    if shift is None:
        shift, width = float(images.mean(dtype=np.float64)), float(images.std(dtype=np.float64))
    return lambda batch: ((batch.astype("float32") - np.float32(shift)) / np.float32(width))[..., None]


def epoch_order(labels: np.ndarray, sampling: str, seed: int, epoch: int) -> np.ndarray:
    """Which of the (n,) training rows an epoch shows, in which order: (n,) int64 that follow from (seed, epoch) alone.

    "shuffled": each once. "balanced": drawn with replacement, every emotion equally often on average.
    """
    rng = np.random.default_rng([seed, epoch])
    if sampling == "shuffled":
        return rng.permutation(len(labels))
    weights = compute_sample_weight("balanced", labels)
    return rng.choice(len(labels), len(labels), p=weights / weights.sum())


class Batches(keras.utils.PyDataset):
    """One epoch of training batches: images as the network wants them, labels, and the rows' weights if there are."""

    def __init__(self, images, labels, weights, scale, batch_size: int, order: np.ndarray):
        super().__init__()
        self.arrays = (images, labels) if weights is None else (images, labels, weights)
        self.scale, self.batch_size, self.order = scale, batch_size, order

    def __len__(self):
        return math.ceil(len(self.order) / self.batch_size)

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        images, *rest = (array[rows] for array in self.arrays)
        return self.scale(images), *rest


def epoch_trainer(model: keras.Model, fitted: Faces, scale, protocol: Protocol):
    """A function from (epoch's number, order of rows) that trains one epoch and returns its mean loss and metrics."""
    balanced = protocol.class_weights == "balanced"
    weights = compute_sample_weight("balanced", fitted.labels).astype(np.float32) if balanced else None
    arrays = fitted.images, fitted.labels.astype(np.int32), weights
    if backends.BACKEND == "jax":
        scanned = backends.scanned_epochs(model, *arrays, scale, protocol.batch_size)
        return lambda epoch, order: scanned(order)

    def fit(epoch: int, order: np.ndarray) -> dict:
        batches = Batches(*arrays, scale, protocol.batch_size, order)
        bar = _Bar(epoch, protocol.epochs, len(batches))
        history = model.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[bar]).history
        return {name: values[-1] for name, values in history.items()}

    return fit


def reseed(model: keras.Model, seed: int, epoch: int) -> None:
    """Start an epoch's random layers from (seed, epoch): a resumed run draws what an unbroken one would."""
    states = [v for v in model.non_trainable_variables if v.path.endswith("seed_generator_state")]
    for number, state in enumerate(states):
        state.assign(np.random.SeedSequence([seed, epoch, number]).generate_state(2).astype(state.dtype))


def should_stop(losses: list[float], patience: int) -> bool:
    """Early stopping as Keras has it: no new lowest loss in the last ``patience`` epochs (0: never stop)."""
    return bool(patience and losses) and len(losses) - 1 - int(np.argmin(losses)) >= patience


def train(
    faces: Faces, protocol: Protocol, seed: int, folder: Path | None = None, progress=print
) -> tuple[Training, Faces]:
    """Train ``protocol.model`` and predict every PublicTest and PrivateTest row after each epoch.

    Returns the training and the evaluated faces, whose order the logits follow. With a ``folder`` the state after
    each epoch is kept there, and a run that finds one continues from it to the predictions that it would have had
    unbroken. ``progress`` takes one line of text an epoch, with the time
    left.

    History, one entry an epoch: epoch (from 1), loss and accuracy (running means over the epoch with dropout on, loss
    with the weight penalty, as Keras prints them), penalty, learning_rate (at the epoch's end), seconds, and for each
    evaluated set NAME its NAME_loss (without penalty) and NAME_accuracy.
    """
    started = time.monotonic()
    backends.make_deterministic(seed)
    keras.config.set_dtype_policy("mixed_bfloat16" if protocol.precision == "bfloat16" else "float32")
    fitted = faces.select(training_rows(faces, protocol))
    evaluated = faces.select(evaluated_rows(faces, protocol))
    scale = scaler(fitted.images, protocol.input_scale)

    if protocol.model in models.TAKE_0_TO_255 and protocol.input_scale != "0..255":
        found = f"found {protocol.input_scale!r} with {protocol.model}"
        raise ValueError(f"input_scale: {found}, expected '0..255': the network shifts and scales pixels itself")
    network = models.build(protocol.model, protocol.model_options)
    used = weights.load(network, protocol.model) if protocol.weights else None
    model = augmentation.augmented(network, protocol.augmentation)
    begin = partial(compile_for, model=model, network=network, protocol=protocol)
    begin(1)
    at_once = protocol.batch_size if protocol.model in models.TAKE_0_TO_255 else 256  # 256 large pictures fill a memory
    inputs = scale(evaluated.images)
    sets = {"PublicTest": evaluated.split == 1, "PrivateTest": evaluated.split == 2}
    sets["PublicTest+PrivateTest"] = evaluated.split > 0
    watched = evaluated.rows(protocol.validation_rows) if protocol.validation_rows else None

    state = Training(model, [], {}, 0, 0.0, used)
    identity = {"protocol": asdict(protocol), "seed": seed, "data": faces.sha256, "backend": backends.BACKEND}
    if folder is not None and (found := checkpoints.restore(folder, model, identity, begin)):
        state.logits, facts = found
        state.history, state.best_epoch, state.seconds = facts["history"], facts["best_epoch"], facts["seconds"]
        progress(f"continuing after epoch {len(state.history)}")
    before = state.seconds
    train_epoch = None
    while len(state.history) < protocol.epochs and not should_stop(
        [entry["watched_loss"] for entry in state.history], protocol.patience
    ):
        epoch = len(state.history) + 1
        clock = time.monotonic()
        if protocol.frozen_epochs and epoch == protocol.frozen_epochs + 1:
            begin(epoch)
            train_epoch = None
        train_epoch = train_epoch or epoch_trainer(model, fitted, scale, protocol)
        reseed(model, seed, epoch)
        fit = train_epoch(epoch, epoch_order(fitted.labels, protocol.sampling, seed, epoch))
        logits = model.predict(inputs, batch_size=at_once, verbose=0).astype(np.float32)
        losses = metrics.cross_entropy(logits, evaluated.labels, protocol.loss)
        hits = logits.argmax(axis=1) == evaluated.labels
        penalty = float(sum(ops.convert_to_numpy(value) for value in model.losses))
        entry = {"epoch": epoch, **fit, "penalty": penalty, "learning_rate": float(model.optimizer.learning_rate)}
        for name, rows in sets.items():
            entry |= {f"{name}_loss": float(losses[rows].mean()), f"{name}_accuracy": float(hits[rows].mean())}
        entry["watched_loss"] = float(losses[watched].mean()) + penalty if watched is not None else 0.0
        entry["seconds"] = time.monotonic() - clock
        if epoch == 1 or entry["PublicTest_accuracy"] > max(e["PublicTest_accuracy"] for e in state.history):
            state.logits["best"], state.best_epoch = logits, epoch
        if epoch == protocol.milestone:
            state.logits["milestone"] = logits
        state.logits["last"] = logits
        state.history.append(entry)
        state.seconds = before + time.monotonic() - started
        progress(_line(state.history, protocol.epochs))
        if folder is not None:
            facts = {"history": state.history, "best_epoch": state.best_epoch, "seconds": state.seconds}
            checkpoints.save(folder, model, state.logits, facts | {"identity": identity})
    return state, evaluated


class _Bar(keras.callbacks.Callback):
    """A progress bar over the batches of one epoch."""

    def __init__(self, epoch: int, epochs: int, batches: int):
        super().__init__()
        self.bar = tqdm(total=batches, desc=f"epoch {epoch} of at most {epochs}", unit="batch", leave=False)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()

    def on_train_end(self, logs=None):
        self.bar.close()


def _line(history: list[dict], epochs: int) -> str:
    entry = history[-1]
    left = np.mean([e["seconds"] for e in history]) * (epochs - len(history))
    return (
        f"epoch {entry['epoch']:3d}/{epochs}  loss {entry['loss']:.4f}  accuracy {entry['accuracy']:.4f}  "
        f"PublicTest {entry['PublicTest_accuracy']:.4f}  PrivateTest {entry['PrivateTest_accuracy']:.4f}  "
        f"{entry['seconds']:.0f} s, at most {time.strftime('%H:%M:%S', time.gmtime(left))} left"
    )
