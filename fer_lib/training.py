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
from .datasets import Faces, ferplus
from .protocol import WITHOUT_TWINS, Protocol


@dataclass
class Training:
    """What a training run leaves. Logits are (m, k) float32 for the evaluated faces, in their order."""

    model: keras.Model
    history: list[dict]
    logits: dict[str, np.ndarray]  # of the "last" and the "best" epoch, and of the "milestone" where one was reached
    best_epoch: int
    seconds: float
    weights: dict | None = None  # file and SHA-256 of the pretrained weights, where it began with some


def loss_function(form: str, smoothing: float = 0.0):
    """Cross-entropy of each row, (b,) float32, as a function of (labels, logits (b, k) float32).

    Labels are codes, (b,) integer, or targets, (b, k) float32, how much of each emotion is true (``Faces.targets``).
    "logits" takes log-softmax: its gradient never vanishes on a wrong answer. "clipped" is old Keras (2.1,
    TensorFlow backend): softmax, renormalised, clipped to [1e-7, 1 - 1e-7], then the logarithm. Where a network is so
    sure that softmax gives exactly 0 and 1, the clip passes no gradient and nothing moves any more; a wrong answer
    then costs -ln(1e-7) = 16.118. Written out, because Keras 3 clips or not depending on its backend. "any of" is for
    faces that several emotions are true of, all alike: "logits" of the likeliest of them (Barsoum et al. 2016).

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

    return {"clipped": clipped, "logits": logits_, "any of": any_of}[form]


def _of_label(values, labels):
    return ops.sum(values * _shares(labels, values), axis=-1)


def _shares(labels, values):
    return labels if len(labels.shape) == 2 else ops.one_hot(ops.cast(labels, "int32"), values.shape[-1])


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


def compile_for(epoch: int, model: keras.Model, network: keras.Model, fitted: Faces, protocol: Protocol) -> None:
    """Compile a model, with a fresh optimiser, to train what an epoch (counted from 1) shall train.

    ``network`` is the model without augmentation, ``fitted`` what it is trained on. Frozen layers get no gradient, and
    their batch normalisation takes the means and variances that it has.
    """
    *body, head = network.layers
    frozen = protocol.frozen_epochs
    if frozen:
        for layer in body:
            layer.trainable = epoch > frozen
    own = {id(variable) for variable in head.trainable_variables}
    shares = [1.0 if id(variable) in own else protocol.body_rate for variable in model.trainable_variables]
    epochs = frozen if epoch <= frozen else protocol.epochs - frozen
    steps = epochs * math.ceil(len(fitted) / protocol.batch_size)
    soft = fitted.targets is not None and protocol.targets == "given"
    accuracy = keras.metrics.CategoricalAccuracy if soft else keras.metrics.SparseCategoricalAccuracy
    model.compile(
        make_optimizer(protocol, steps, shares if protocol.body_rate != 1 else None),
        loss_function(protocol.loss, protocol.label_smoothing),
        metrics=[accuracy(name="accuracy")],
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
    if input_scale == "each standardised":
        return each_standardised
    shift, width = {"0..255": (0.0, 1.0), "0..1": (0.0, 255.0), "standardised": (None, None)}[input_scale]
    if shift is None:
        shift, width = float(images.mean(dtype=np.float64)), float(images.std(dtype=np.float64))
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

    "shuffled": each once. "balanced": drawn with replacement, every emotion equally often on average.
    """
    rng = np.random.default_rng([seed, epoch])
    if sampling == "shuffled":
        return rng.permutation(len(labels))
    weights = compute_sample_weight("balanced", labels)
    return rng.choice(len(labels), len(labels), p=weights / weights.sum())


def epoch_targets(faces: Faces, protocol: Protocol, seed: int, epoch: int) -> np.ndarray:
    """What an epoch trains towards: codes, (n,) int32, or the faces' ``targets``, (n, k) float32.

    What is drawn of these follows from (seed, epoch) alone.
    """
    if faces.targets is None:
        return faces.labels.astype(np.int32)
    if protocol.targets == "given":
        return faces.targets
    shares = faces.targets / faces.targets.sum(axis=1, keepdims=True)
    return ferplus.drawn(shares, np.random.default_rng([seed, epoch, 1])).astype(np.int32)


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


def epoch_trainer(model: keras.Model, fitted: Faces, scale, protocol: Protocol):
    """A function from (epoch's number, order of rows, their ``epoch_targets``) that trains one epoch and returns its
    mean loss and metrics."""
    balanced = protocol.class_weights == "balanced"
    weights = compute_sample_weight("balanced", fitted.labels).astype(np.float32) if balanced else None
    if backends.BACKEND == "jax":
        like = epoch_targets(fitted, protocol, 0, 0)
        scanned = backends.scanned_epochs(model, fitted.images, like, weights, scale, protocol.batch_size)
        return lambda epoch, order, targets: scanned(order, targets)

    def fit(epoch: int, order: np.ndarray, targets: np.ndarray) -> dict:
        batches = Batches(fitted.images, targets, weights, scale, protocol.batch_size, order)
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
    if protocol.targets == "drawn" and faces.targets is None:
        raise ValueError(f"targets: found 'drawn', but {faces.name} has labels only; expected 'given', or other data")
    scale = scaler(fitted.images, protocol.input_scale)

    if protocol.model in models.TAKE_0_TO_255 and protocol.input_scale != "0..255":
        found = f"found {protocol.input_scale!r} with {protocol.model}"
        raise ValueError(f"input_scale: {found}, expected '0..255': the network shifts and scales pixels itself")
    network = models.build(protocol.model, protocol.model_options)
    if network.output_shape[-1] != len(faces.emotions):
        found = (
            f"{protocol.model} with {network.output_shape[-1]} outputs for the {len(faces.emotions)} of {faces.name}"
        )
        raise ValueError(f"model: found {found}, expected as many as emotions; see model_options")
    used = weights.load(network, protocol.model) if protocol.weights else None
    model = augmentation.augmented(network, protocol.augmentation)
    begin = partial(compile_for, model=model, network=network, fitted=fitted, protocol=protocol)
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
        order = epoch_order(fitted.labels, protocol.sampling, seed, epoch)
        fit = train_epoch(epoch, order, epoch_targets(fitted, protocol, seed, epoch))
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
