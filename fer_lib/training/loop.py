"""Training under a stated protocol, resumable after any epoch, the same on every Keras backend."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import ops
from sklearn.utils.class_weight import compute_sample_weight
from tqdm.auto import tqdm

from .. import models, system
from ..data import SPLITS, Faces
from ..evaluation import metrics, views
from ..files import arrays
from ..models import weights
from . import augmentation, backends, checkpoints
from .batches import Batches, epoch_mixing, epoch_order, epoch_targets, evaluated_rows, scaler, training_rows
from .losses import loss_function
from .optimizers import make_optimizer
from .protocol import Protocol

DIVERGED = "the training diverged: lower learning_rate, or scale pixels by input_scale"


@dataclass
class Training:
    """What a training run leaves. Logits are (m, k) float32 for the evaluated faces, in their order."""

    model: keras.Model
    history: list[dict]
    logits: dict[str, np.ndarray]  # of the "last" and the "best" epoch, of a "milestone" that was reached, of "views"
    best_epoch: int
    seconds: float
    weights: dict | None = None  # file and SHA-256 of the pretrained weights, where it began with some
    milestone: int = 0  # the epoch of "milestone"

    @property
    def epochs(self) -> dict[str, int]:
        """The epoch that each of ``logits`` is of, by its name."""
        last = len(self.history)
        return {"last": last, "best": self.best_epoch, "milestone": self.milestone, "views": last}


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
    steps_per_epoch = math.ceil(len(fitted) / protocol.batch_size)
    soft = epoch_targets(fitted, protocol, 0, 0).ndim == 2
    accuracy = keras.metrics.CategoricalAccuracy if soft else keras.metrics.SparseCategoricalAccuracy
    model.compile(
        make_optimizer(
            protocol,
            epochs * steps_per_epoch,
            min(epochs, protocol.warmup_epochs) * steps_per_epoch,
            shares if protocol.body_rate != 1 else None,
        ),
        loss_function(protocol.loss, protocol.label_smoothing),
        metrics=[accuracy(name="accuracy")],
        jit_compile=backends.BACKEND == "jax" and model is network,  # XLA makes TensorFlow slower on a CPU
    )


def epoch_trainer(
    model: keras.Model, fitted: Faces, scale, protocol: Protocol, reached=lambda share: None, devices: int = 1
):
    """A function from (epoch's number, order of rows, all ``epoch_targets``, ``epoch_mixing``) that trains one epoch
    and returns its mean loss and metrics. ``reached`` takes the share of its batches that are done, after each; never
    on JAX, where an epoch is one call. ``devices``: how many train together, see ``backends.spread``."""
    balanced = protocol.class_weights == "balanced"
    weights = compute_sample_weight("balanced", fitted.labels).astype(np.float32) if balanced else None
    if backends.BACKEND == "jax":
        like = epoch_targets(fitted, protocol, 0, 0)
        compiled = backends.compiled_epochs(model, fitted.images, like, weights, scale, protocol.batch_size, devices)
        return lambda epoch, *given: compiled(*given)

    step = backends.mirrored_steps(model) if devices > 1 else None

    def fit(epoch: int, order: np.ndarray, targets: np.ndarray, mixing: tuple = ()) -> dict:
        batches = Batches(fitted.images, targets, weights, scale, protocol.batch_size, order, mixing)
        what = f"epoch {epoch} of at most {protocol.epochs}"
        with tqdm(total=len(batches), desc=what, unit="batch", leave=False) as bar:

            def count(batch, logs):
                bar.update()
                reached((batch + 1) / len(batches))

            if step:
                model.reset_metrics()
                for number, batch in enumerate(backends.dataset(batches)):
                    step(batch)
                    count(number, {})
                return {name: float(value) for name, value in model.get_metrics_result().items()}
            counting = keras.callbacks.LambdaCallback(on_train_batch_end=count)
            history = model.fit(backends.dataset(batches), shuffle=False, verbose=0, callbacks=[counting]).history
        return {name: values[-1] for name, values in history.items()}

    return fit


def reseed(model: keras.Model, seed: int, epoch: int) -> None:
    """Start an epoch's random layers from (seed, epoch): a resumed run samples what an unbroken one would."""
    states = [v for v in model.non_trainable_variables if v.path.endswith("seed_generator_state")]
    for number, state in enumerate(states):
        state.assign(np.random.SeedSequence([seed, epoch, number]).generate_state(2).astype(state.dtype))


@contextmanager
def averaged(model: keras.Model, ema: float):
    """Within this a model has the moving average of its weights, if there is one; its training goes on without it."""
    own = [ops.copy(variable.value) for variable in model.trainable_variables] if ema else []
    if ema:
        model.optimizer.average(model.trainable_variables)
    yield
    for variable, value in zip(model.trainable_variables, own):
        variable.assign(value)


def should_stop(losses: list[float], patience: int) -> bool:
    """Early stopping as Keras has it: no new lowest loss in the last ``patience`` epochs (0: never stop)."""
    return bool(patience and losses) and len(losses) - 1 - int(np.argmin(losses)) >= patience


def train(
    faces: Faces, protocol: Protocol, seed: int, folder: Path | None = None, progress=print, devices: int = 1
) -> tuple[Training, Faces]:
    """Train ``protocol.model`` and predict the PublicTest and PrivateTest rows (``test_rows``) after each epoch.

    Returns the training and the evaluated faces, whose order the logits follow; with ``folds`` these are all faces, as
    PrivateTest (see ``_train_folds``). With a ``folder`` the state after
    each epoch is kept there, and a run that finds one continues from it to the predictions that it would have had
    unbroken. ``progress`` takes one line of text an epoch, with the time left; within one, ``system.tell`` has it.

    ``devices``: so many GPUs, or CPUs where there is none, train the network together, each on its part of every batch.
    That is how a run is computed, not what it is: its losses are those of one device up to rounding, and it may go on
    on another number of devices.

    Raises ValueError where there are not so many, where a protocol does not fit the faces, and after an epoch that
    leaves predictions or weights that are not finite: a training that diverged gives no record. The state before that
    epoch is kept.

    History, one entry an epoch: epoch (from 1), loss and accuracy (running means over the epoch with dropout on, loss
    with the weight penalty, as Keras prints them), penalty, learning_rate (at the epoch's end), seconds, of these
    training_seconds (without the predictions), and for each evaluated set NAME its NAME_loss (without penalty) and
    NAME_accuracy.
    """
    if protocol.folds:
        return _train_folds(faces, protocol, seed, folder, progress, devices)
    backends.make_deterministic(seed, protocol.precision)
    with backends.spread(devices):
        return _train(faces, protocol, seed, folder, progress, devices)


def _train(
    faces: Faces, protocol: Protocol, seed: int, folder: Path | None, progress, devices: int
) -> tuple[Training, Faces]:
    """``train`` of one network, where the engine is set up."""
    started = time.monotonic()
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
        found = f"found {protocol.model} with {network.output_shape[-1]} outputs"
        of_faces = f"the {len(faces.emotions)} of {faces.name}"
        raise ValueError(f"model: {found} for {of_faces}, expected as many as emotions; see model_options")
    loaded = weights.load(network, protocol.model) if protocol.weights else None
    model = augmentation.augmented(network, protocol.augmentation)
    begin = partial(compile_for, model=model, network=network, fitted=fitted, protocol=protocol)
    begin(1)
    at_once = protocol.batch_size if protocol.model in models.TAKE_0_TO_255 else 256  # 256 large pictures fill a memory
    predicting = network if backends.BACKEND == "jax" else model  # JAX does not compile what changes faces at random
    inputs = scale(evaluated.images)

    def predict(inputs) -> np.ndarray:
        return predicting.predict(inputs, batch_size=at_once, verbose=0).astype(np.float32)

    sets = {"PublicTest": evaluated.split == 1, "PrivateTest": evaluated.split == 2}
    sets["PublicTest+PrivateTest"] = evaluated.split > 0
    watched = evaluated.rows(protocol.validation_rows) if protocol.validation_rows else None

    state = Training(model, [], {}, 0, 0.0, loaded, protocol.milestone)
    identity = {"protocol": asdict(protocol), "seed": seed, "data": faces.sha256, "backend": backends.BACKEND}
    if folder is not None and (checkpoint := checkpoints.restore(folder, model, identity, begin)):
        state.logits, facts = checkpoint
        state.history, state.best_epoch, state.seconds = facts["history"], facts["best_epoch"], facts["seconds"]
        progress(f"continuing after epoch {len(state.history)}")
    before = state.seconds
    train_epoch = None

    def reached(share: float) -> None:
        line = _line_within(state.history, protocol.epochs, share, time.monotonic() - clock)
        system.tell(line, now=share in (0, 1))

    while len(state.history) < protocol.epochs and not should_stop(
        [entry["watched_loss"] for entry in state.history], protocol.patience
    ):
        epoch = len(state.history) + 1
        clock = time.monotonic()
        if protocol.frozen_epochs and epoch == protocol.frozen_epochs + 1:
            begin(epoch)
            train_epoch = None
        train_epoch = train_epoch or epoch_trainer(model, fitted, scale, protocol, reached, devices)
        reached(0)
        reseed(model, seed, epoch)
        order = epoch_order(fitted.labels, protocol.sampling, seed, epoch)
        mixing = epoch_mixing(order, faces.images.shape[1], protocol, seed, epoch)
        fit = train_epoch(epoch, order, epoch_targets(fitted, protocol, seed, epoch), mixing)
        training_seconds = time.monotonic() - clock
        reached(1)
        with averaged(model, protocol.ema):
            logits = predict(inputs)
        arrays.check_finite(logits, f"epoch {epoch}", DIVERGED)
        models.check_finite(network, f"epoch {epoch}", DIVERGED)
        losses = metrics.cross_entropy(logits, evaluated.labels, protocol.loss)
        correct = logits.argmax(axis=1) == evaluated.labels
        penalty = float(sum(ops.convert_to_numpy(value) for value in model.losses))
        rate = float(ops.convert_to_numpy(model.optimizer.learning_rate))
        entry = {"epoch": epoch, **fit, "penalty": penalty, "learning_rate": rate}
        for name, rows in sets.items():
            entry |= {f"{name}_loss": float(losses[rows].mean()), f"{name}_accuracy": float(correct[rows].mean())}
        entry["watched_loss"] = float(losses[watched].mean()) + penalty if watched is not None else 0.0
        entry |= {"seconds": time.monotonic() - clock, "training_seconds": training_seconds}
        if epoch == 1 or entry["PublicTest_accuracy"] > max(e["PublicTest_accuracy"] for e in state.history):
            state.logits["best"], state.best_epoch = logits, epoch
        if epoch == protocol.milestone:
            state.logits["milestone"] = logits
        state.logits["last"] = logits
        state.history.append(entry)
        state.seconds = before + time.monotonic() - started
        progress(_epoch_line(state.history, protocol.epochs))
        if folder is not None:
            facts = {"history": state.history, "best_epoch": state.best_epoch, "seconds": state.seconds}
            checkpoints.save(folder, model, state.logits, facts | {"identity": identity})
    if protocol.ema:
        model.optimizer.average(model.trainable_variables)
    if protocol.views != "none":
        if protocol.views == "perturbed":
            looks = augmentation.perturbed(inputs, seed)
        else:
            looks = (scale(view) for view in views.views(evaluated.images, protocol.views))
        state.logits["views"] = np.mean([predict(look) for look in looks], axis=0)
    system.tell("trained")
    return state, evaluated


def _train_folds(
    faces: Faces, protocol: Protocol, seed: int, folder: Path | None, progress, devices: int
) -> tuple[Training, Faces]:
    """``train`` for each fold (see ``ckplus.folded``): the logits of a face are those of the network that has not seen
    its person. The history is the mean of the networks', the model the last of them."""
    from ..data import ckplus

    count, histories, seconds, logits = protocol.folds, [], 0.0, {}
    for fold in range(count):
        keras.utils.clear_session()

        def told(line: str, fold: int = fold) -> None:
            progress(f"fold {fold + 1}/{count}  {line}")

        place = folder / f"checkpoint-fold-{fold}" if folder else None
        one = replace(protocol, folds=0)
        result, evaluated = train(ckplus.folded(faces, fold, count), one, seed, place, told, devices)
        own = evaluated.split == SPLITS.index("PrivateTest")
        for name in [each for each in result.logits if each != "best"]:  # in their order: it is that of the record's
            whole = logits.setdefault(name, np.zeros((len(faces), len(faces.emotions)), np.float32))
            whole[np.searchsorted(faces.ids, evaluated.ids[own])] = result.logits[name][own]
        histories.append(result.history)
        seconds += result.seconds
    shortest = min(map(len, histories))
    history = [
        {key: float(np.mean([each[at][key] for each in histories])) for key in histories[0][at]}
        for at in range(shortest)
    ]
    history = [entry | {"epoch": at} for at, entry in enumerate(history, start=1)]
    tested = replace(faces, split=np.full(len(faces), SPLITS.index("PrivateTest"), np.uint8))
    return Training(result.model, history, logits, shortest, seconds, result.weights), tested


def _line_within(history: list[dict], epochs: int, share: float, seconds: float) -> str:
    """How far an epoch is after so many seconds, with the time left for all: by earlier epochs, else by its share."""
    whole = np.mean([e["seconds"] for e in history]) if history else seconds / share if share else None
    left = f", about {system.clock(whole * (epochs - len(history)) - seconds)} left" if whole else ""
    what = "now the test rows" if share == 1 else f"{100 * share:.0f} % of the batches"
    return f"epoch {len(history) + 1:3d}/{epochs}  {what}{left}"


def _epoch_line(history: list[dict], epochs: int) -> str:
    entry = history[-1]
    left = np.mean([e["seconds"] for e in history]) * (epochs - len(history))
    return (
        f"epoch {entry['epoch']:3d}/{epochs}  loss {entry['loss']:.4f}  accuracy {entry['accuracy']:.4f}  "
        f"PublicTest {entry['PublicTest_accuracy']:.4f}  PrivateTest {entry['PrivateTest_accuracy']:.4f}  "
        f"{entry['seconds']:.0f} s, at most {system.clock(left)} left"
    )
