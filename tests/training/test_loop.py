"""Training: the loss at saturation, determinism, early stopping, resuming. Runs under every Keras backend."""

import json
import re
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_lib import models
from fer_lib.evaluation import metrics, views
from fer_lib.training import backends, batches, loop
from fer_lib.training.protocol import PROTOCOLS, Protocol

SMALL = Protocol(model="feedforward", epochs=3, batch_size=16, learning_rate=1e-4)


def test_within_an_epoch_it_tells_how_far_it_is_and_predicts_the_same(few_faces, monkeypatch):
    plain, _ = loop.train(few_faces, SMALL, seed=1, progress=lambda line: None)
    told = []
    monkeypatch.setattr(loop.system, "tell", lambda text, now=True: told.append(text))
    watched, _ = loop.train(few_faces, SMALL, seed=1, progress=lambda line: None)
    assert np.array_equal(plain.logits["last"], watched.logits["last"])
    assert told[0] == f"epoch   1/{SMALL.epochs}  0 % of the batches" and told[-1] == "trained"
    last = [line for line in told if line.startswith(f"epoch {SMALL.epochs:3d}/")]
    assert re.fullmatch(rf"epoch +\d/{SMALL.epochs}  now the test rows, about 00:\d\d:\d\d left", last[-1])
    if backends.BACKEND != "jax":
        assert any("100 % of the batches" not in line and "% of the batches, about" in line for line in told)


@pytest.mark.skipif(backends.BACKEND != "tensorflow", reason="JAX trains an epoch in one call")
def test_no_epoch_waits_for_the_thread_that_tunes_tensorflows_datasets(few_faces, monkeypatch):
    given, fit = [], keras.Model.fit
    monkeypatch.setattr(keras.Model, "fit", lambda model, x, **more: given.append(x) or fit(model, x, **more))
    loop.train(few_faces, SMALL, seed=1, progress=lambda line: None)
    assert len(given) == 3 and all(dataset.options().autotune.enabled is False for dataset in given)
    assert all(len(dataset) == 3 for dataset in given)


def test_the_time_left_is_that_of_the_epochs_before_or_by_the_share_of_the_first():
    assert loop._line_within([], 3, 0.5, 10.0) == "epoch   1/3  50 % of the batches, about 00:00:50 left"
    history = [{"seconds": 3600.0}]
    assert loop._line_within(history, 30, 0, 0.0) == "epoch   2/30  0 % of the batches, about 29:00:00 left"


def test_a_network_learns_and_the_same_seed_gives_the_same_predictions(few_faces):
    first, evaluated = loop.train(few_faces, SMALL, seed=1, progress=lambda line: None)
    again, _ = loop.train(few_faces, SMALL, seed=1, progress=lambda line: None)
    other, _ = loop.train(few_faces, SMALL, seed=2, progress=lambda line: None)
    np.testing.assert_array_equal(first.logits["last"], again.logits["last"])
    assert (first.logits["last"] != other.logits["last"]).any()
    assert len(evaluated) == 28
    assert first.history[-1]["loss"] < first.history[0]["loss"]
    assert first.history[first.best_epoch - 1]["PublicTest_accuracy"] == max(
        e["PublicTest_accuracy"] for e in first.history
    )


def test_a_training_that_diverges_gives_no_predictions_and_its_last_whole_state_is_kept(few_faces, tmp_path):
    """Its argmax would be angry, and would be scored."""
    reckless = replace(SMALL, optimizer="sgd", learning_rate=1e30)
    with pytest.raises(ValueError, match="epoch 1: found .* NaN or infinite .*; the training diverged: lower learning"):
        loop.train(few_faces, reckless, 0, tmp_path, progress=lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_no_numbers_are_found_where_predictions_hide_them(few_faces, monkeypatch):
    """A ReLU may make 0 of NaN: the network then predicts one emotion for every face, as if it had collapsed."""

    def break_it(*given):
        train = epoch_trainer(*given)

        def broken(*of):
            result = train(*of)
            kernel = given[0].layers[-2].kernel if hasattr(given[0].layers[-2], "kernel") else given[0].weights[0]
            kernel.assign(np.full(kernel.shape, np.nan, np.float32))
            return result

        return broken

    epoch_trainer = loop.epoch_trainer
    monkeypatch.setattr(loop, "epoch_trainer", break_it)
    with pytest.raises(ValueError, match="epoch 1: found .*NaN or infinite .*, expected finite ones; the training"):
        loop.train(few_faces, SMALL, 0, progress=lambda line: None)


class Killed(BaseException):
    pass


RANDOM = {"augmentation": "flip and affine", "sampling": "balanced", "class_weights": "balanced"}
FINE_TUNED = {"frozen_epochs": 2, "body_rate": 0.1, "optimizer": "sgd", "momentum": 0.9, "augmentation": "flip"}


LIVE = {
    "model": "small_vgg", "model_options": {"width": 4}, "optimizer": "sgd", "momentum": 0.9, "schedule": "cosine",
    "decay": 0.0, "input_scale": "each standardised", "label_smoothing": 0.1,
    "augmentation": "flip, affine and erasing",
}  # fmt: skip
AVERAGED = {
    "optimizer": "sgd", "momentum": 0.9, "nesterov": True, "schedule": "linear", "warmup_epochs": 1, "decay": 0.0,
    "ema": 0.9, "mixing": "cutmix", "augmentation": "geometry, erasing and light", "views": "ten crops",
    "kept_epoch": "last", "batch_size": 21,
}  # fmt: skip
MUON = AVERAGED | {
    "model": "resnet18", "model_options": {"width": 2}, "optimizer": "muon", "momentum": 0.0, "nesterov": False,
    "mixing": "mixup", "loss": "symmetric",
}  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": "adam"}, RANDOM, pytest.param(FINE_TUNED, marks=pytest.mark.slow),
        pytest.param(LIVE, marks=pytest.mark.slow), AVERAGED, pytest.param(MUON, marks=pytest.mark.slow),
        *(pytest.param({"optimizer": name}, marks=pytest.mark.slow) for name in ("rmsprop", "sgd")),
    ],
)  # fmt: skip
def test_a_run_killed_after_any_epoch_ends_like_an_unbroken_one(few_faces, tmp_path, fields):
    protocol = replace(SMALL, **{"decay": 1e-3, "epochs": 4, "patience": 3, "milestone": 2} | fields)
    whole, _ = loop.train(few_faces, protocol, 5, progress=lambda line: None)
    for last in (2, 3, 4, 5):  # killed in epoch 2 before its state is kept, then in 3, then in 4, then not

        def kill(line, last=last):
            if line.startswith(f"epoch   {last}"):
                raise Killed

        try:
            broken, _ = loop.train(few_faces, protocol, 5, tmp_path, kill)
        except Killed:
            assert [path.name for path in tmp_path.glob("checkpoint-*")] == [f"checkpoint-{last - 1:04d}"]
    assert [entry["loss"] for entry in broken.history] == [entry["loss"] for entry in whole.history]
    assert set(broken.logits) == {"last", "best", "milestone"} | ({"views"} if "views" in fields else set())
    for name, logits in whole.logits.items():
        np.testing.assert_array_equal(broken.logits[name], logits)
    assert broken.best_epoch == whole.best_epoch


def linear() -> keras.Model:
    """A network without anything between: its logits are W x + b, which begin at 0."""
    head = keras.layers.Dense(7, dtype="float32", name="logits", kernel_initializer="zeros")
    return keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Flatten(), head])


ONE_STEP = replace(SMALL, batch_size=42, optimizer="sgd", learning_rate=0.1, kept_epoch="last")
"""With ``linear``: each epoch is one step, over all training rows."""


@pytest.fixture
def weights_after(monkeypatch) -> list[list[np.ndarray]]:
    """``linear`` is trained; after each epoch its kernel and bias come into this, as a checkpoint keeps them."""
    kept = []
    monkeypatch.setattr(models, "build", lambda name, options: linear())
    monkeypatch.setattr(loop.checkpoints, "save", lambda folder, model, *given: kept.append(model.get_weights()))
    return kept


def predicted(weights: list[np.ndarray], images: np.ndarray) -> np.ndarray:
    kernel, bias = weights
    return images.reshape(len(images), -1) / np.float32(255) @ kernel + bias


def test_predictions_are_of_the_averaged_weights_and_the_training_goes_on_without(few_faces, tmp_path, weights_after):
    plain, _ = loop.train(few_faces, ONE_STEP, 0, tmp_path, lambda line: None)
    by_plain = weights_after.copy()
    weights_after.clear()
    protocol = replace(ONE_STEP, ema=0.75, milestone=2, views="flip")
    found, evaluated = loop.train(few_faces, protocol, 0, tmp_path, lambda line: None)
    assert len(weights_after) == len(by_plain) == 3
    for own, other in zip(weights_after, by_plain):
        for one, same in zip(own, other):
            np.testing.assert_array_equal(one, same)
    assert [entry["loss"] for entry in found.history] == [entry["loss"] for entry in plain.history]
    first, second, third = ([kernel, bias] for kernel, bias in by_plain)
    second = [0.75 * old + 0.25 * new for old, new in zip(first, second)]
    third = [0.75 * old + 0.25 * new for old, new in zip(second, third)]
    np.testing.assert_allclose(found.logits["milestone"], predicted(second, evaluated.images), atol=1e-4)
    np.testing.assert_allclose(found.logits["last"], predicted(third, evaluated.images), atol=1e-4)
    assert np.abs(found.logits["last"] - plain.logits["last"]).max() > 0.01
    for one, expected in zip(found.model.get_weights(), third):
        np.testing.assert_allclose(one, expected, atol=1e-6)
    both = predicted(third, evaluated.images) + predicted(third, evaluated.images[:, :, ::-1])
    np.testing.assert_allclose(found.logits["views"], both / 2, atol=1e-4)


@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_a_step_goes_towards_the_mixed_faces_and_labels_of_its_epoch(few_faces, tmp_path, weights_after, mixing):
    """The gradient of cross-entropy at logits of 0 is X' (1/7 - T) / n."""
    protocol = replace(ONE_STEP, epochs=1, mixing=mixing, mixing_alpha=0.8)
    loop.train(few_faces, protocol, 3, tmp_path, lambda line: None)
    fitted = few_faces.select(few_faces.rows("Training"))
    order = batches.epoch_order(fitted.labels, "shuffled", 3, 1)
    arrays = fitted.images, np.eye(7, dtype=np.float32)[fitted.labels]
    images, targets = batches.shown(arrays, order, *batches.epoch_mixing(order, 48, protocol, 3, 1))
    expected = -0.1 * (images.reshape(42, -1) / 255).T @ (1 / 7 - targets) / 42
    ((kernel, bias),) = weights_after
    np.testing.assert_allclose(kernel, expected, atol=1e-5)
    np.testing.assert_allclose(bias, -0.1 * (1 / 7 - targets).mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(("name", "count"), [("flip", 2), ("ten crops", 10)])
def test_views_are_read_as_the_mean_of_what_is_predicted_of_each(few_faces, monkeypatch, name, count):
    monkeypatch.setattr(models, "build", lambda name, options: linear())
    fields = {"epochs": 1, "kept_epoch": "last", "views": name, "augmentation": "geometry"}
    found, evaluated = loop.train(few_faces, replace(SMALL, **fields), 1, progress=lambda line: None)
    scale = batches.scaler(evaluated.images, "0..1")
    each = [found.model.predict(scale(view), verbose=0) for view in views.views(evaluated.images, name)]
    assert len(each) == count
    np.testing.assert_allclose(found.logits["views"], np.mean(each, axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.logits["last"], each[0], rtol=1e-4, atol=1e-5)
    assert (found.logits["views"] != found.logits["last"]).any()
    assert found.logits["views"].dtype == np.float32


def test_a_run_that_was_whole_gives_its_averaged_predictions_and_views_again(few_faces, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "build", lambda name, options: linear())
    protocol = replace(SMALL, **AVERAGED)
    whole, _ = loop.train(few_faces, protocol, 5, tmp_path, lambda line: None)
    lines = []
    again, _ = loop.train(few_faces, protocol, 5, tmp_path, lines.append)
    assert lines == ["continuing after epoch 3"]
    for name, logits in whole.logits.items():
        np.testing.assert_array_equal(again.logits[name], logits)
    for one, other in zip(whole.model.get_weights(), again.model.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_the_rate_rises_over_the_warm_up_epochs_and_falls_over_the_others(few_faces, monkeypatch):
    monkeypatch.setattr(models, "build", lambda name, options: linear())
    fields = {"epochs": 4, "optimizer": "sgd", "learning_rate": 0.1, "schedule": "linear", "warmup_epochs": 2}
    found, _ = loop.train(few_faces, replace(SMALL, **fields), 0, progress=lambda line: None)
    rates = [entry["learning_rate"] for entry in found.history]
    assert rates == pytest.approx([0.1 * 4 / 7, 0.1, 0.05, 0], abs=1e-7)  # three steps an epoch


def test_a_checkpoint_of_other_parameters_is_not_used(few_faces, tmp_path):
    loop.train(few_faces, replace(SMALL, epochs=1), 0, tmp_path, lambda line: None)
    lines = []
    result, _ = loop.train(few_faces, replace(SMALL, epochs=1, learning_rate=1e-3), 0, tmp_path, lines.append)
    assert not any("continuing" in line for line in lines)
    assert len(result.history) == 1


def test_a_checkpoint_from_before_a_field_existed_did_what_its_default_does(few_faces, tmp_path):
    for weight_decay, goes_on in ((0.1, False), (0.0, True)):
        folder, lines = tmp_path / str(weight_decay), []
        loop.train(few_faces, replace(SMALL, epochs=1), 0, folder, lambda line: None)
        state = folder / "checkpoint-0001" / "state.json"
        facts = json.loads(state.read_text())
        facts["identity"]["protocol"]["epochs"] = 2
        del facts["sha256"]["state.json"]  # states from before had none
        del facts["identity"]["protocol"]["weight_decay"]
        state.write_text(json.dumps(facts))
        loop.train(few_faces, replace(SMALL, epochs=2, weight_decay=weight_decay), 0, folder, lines.append)
        assert ("continuing after epoch 1" in lines) == goes_on


def test_a_half_written_checkpoint_is_ignored(few_faces, tmp_path):
    whole, _ = loop.train(few_faces, SMALL, 0, tmp_path, lambda line: None)
    kept = next(tmp_path.glob("checkpoint-*"))
    shutil.move(kept, tmp_path / "checkpoint.partial")
    (tmp_path / "checkpoint.partial" / "state.json").unlink()
    again, _ = loop.train(few_faces, SMALL, 0, tmp_path, lambda line: None)
    np.testing.assert_array_equal(again.logits["last"], whole.logits["last"])


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("state.json", lambda content: b"{"),
        ("state.json", lambda content: b"[]"),
        ("state.json", lambda content: content.replace(b'"protocol"', b'"other"')),
        ("logits.npz", lambda content: content[:100]),
        ("model.weights.h5", lambda content: b""),
        (
            "model.weights.h5",
            lambda content: content[:-1000] + bytes(500) + content[-500:],
        ),  # loads, with other weights
        ("model.weights.h5", None),
    ],
)
def test_a_damaged_checkpoint_is_told_and_the_run_ends_like_an_unbroken_one(few_faces, tmp_path, capsys, name, spoil):
    """It takes an older state where there is one, else it begins anew, with the weights that it would have had."""
    small, first = replace(SMALL, model_options={}, batch_size=21), tmp_path / "first"
    whole, _ = loop.train(few_faces, small, 0, first, lambda line: None)
    (kept,) = first.glob("checkpoint-*")
    content = (kept / name).read_bytes()
    (kept / name).unlink()
    if spoil:
        (kept / name).write_bytes(spoil(content))
    lines = []
    again, _ = loop.train(few_faces, small, 0, first, lines.append)
    assert "checkpoint-0003 cannot be used, and is passed over: " in capsys.readouterr().out
    assert not any("continuing" in line for line in lines) and len(lines) == 3
    np.testing.assert_array_equal(again.logits["last"], whole.logits["last"])


def test_an_older_checkpoint_takes_the_place_of_a_damaged_one(few_faces, tmp_path, capsys):
    whole, _ = loop.train(few_faces, SMALL, 0, progress=lambda line: None)
    for epochs in (1, 2):
        loop.train(few_faces, replace(SMALL, epochs=epochs), 0, tmp_path / str(epochs), lambda line: None)
        (kept,) = (tmp_path / str(epochs)).glob("checkpoint-*")
        facts = json.loads((kept / "state.json").read_text())
        facts["identity"]["protocol"]["epochs"] = SMALL.epochs
        del facts["sha256"]["state.json"]
        (kept / "state.json").write_text(json.dumps(facts))
        shutil.move(kept, tmp_path)
    (tmp_path / "checkpoint-0002" / "logits.npz").write_bytes(b"PK")
    lines = []
    again, _ = loop.train(few_faces, SMALL, 0, tmp_path, lines.append)
    assert lines[0] == "continuing after epoch 1"
    assert "checkpoint-0002 cannot be used" in capsys.readouterr().out
    np.testing.assert_array_equal(again.logits["last"], whole.logits["last"])


# No subnormal losses: engines round them to zero on some processors, and Keras compares losses in its engine.
@given(st.lists(st.floats(0, 10, width=32, allow_subnormal=False), min_size=1, max_size=30), st.integers(1, 6))
def test_early_stopping_stops_where_keras_does(losses, patience):
    stopper = keras.callbacks.EarlyStopping(monitor="val_loss", mode="min", patience=patience)
    stopper.set_model(type("Model", (), {"stop_training": False, "metrics": []})())
    stopper.on_train_begin()
    ours = keras_stops = None
    for epoch, loss in enumerate(losses):
        stopper.on_epoch_end(epoch, {"val_loss": loss})
        if keras_stops is None and stopper.model.stop_training:
            keras_stops = epoch
        if ours is None and loop.should_stop(losses[: epoch + 1], patience):
            ours = epoch
    assert ours == keras_stops


def test_no_patience_never_stops():
    assert not loop.should_stop([1.0, 2.0, 3.0, 4.0], 0)


def test_a_milestone_is_what_a_run_of_so_many_epochs_ends_with(few_faces):
    long, _ = loop.train(few_faces, replace(SMALL, milestone=2), 4, progress=lambda line: None)
    short, _ = loop.train(few_faces, replace(SMALL, epochs=2), 4, progress=lambda line: None)
    np.testing.assert_array_equal(long.logits["milestone"], short.logits["last"])


def test_a_subset_of_test_rows_is_predicted_as_in_the_whole(few_faces):
    whole, everything = loop.train(few_faces, replace(SMALL, epochs=1), 4, progress=lambda line: None)
    some, evaluated = loop.train(few_faces, replace(SMALL, epochs=1, test_rows=9), 4, progress=lambda line: None)
    assert len(evaluated) == 9
    assert (np.diff(evaluated.ids) > 0).all()
    same = np.isin(everything.ids, evaluated.ids)
    np.testing.assert_allclose(some.logits["last"], whole.logits["last"][same], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"test_rows: found 99, but PublicTest\+PrivateTest of drawn_faces has 28"):
        batches.evaluated_rows(few_faces, replace(SMALL, test_rows=99))


def test_class_weights_make_a_rare_emotion_count(few_faces):
    """42 training rows, of which disgust keeps one: its logit must rise where its loss counts sevenfold."""
    labels = few_faces.labels.copy()
    labels[:42][labels[:42] == 1] = 0
    labels[1] = 1
    uneven = replace(few_faces, labels=labels)
    protocol = replace(SMALL, epochs=8)
    plain, _ = loop.train(uneven, protocol, 0, progress=lambda line: None)
    weighted, _ = loop.train(uneven, replace(protocol, class_weights="balanced"), 0, progress=lambda line: None)
    gain = metrics.probabilities(weighted.logits["last"]) - metrics.probabilities(plain.logits["last"])
    assert gain[:, 1].mean() > 0.02
    assert gain[:, 0].mean() < -0.02


DEEP = replace(
    SMALL, model="eleven_layers", model_options={"width": 4, "dense": 8, "batch_normalisation": True}, batch_size=21
)


def begins_with(monkeypatch, value: float) -> None:
    """Pretrained weights of any network: every number of all its layers but the last is ``value``."""

    def load(network, name):
        for layer in network.layers[:-1]:
            layer.set_weights([np.full(array.shape, value, np.float32) for array in layer.weights])
        return {"file": f"{name}.h5", "sha256": "0" * 64}

    monkeypatch.setattr(loop.weights, "load", load)


def moved(network: keras.Model, value: float) -> tuple[list[bool], bool]:
    """Of each layer with weights but the last, whether any is not ``value`` any more; whether the last has moved.

    Normalisation has its means and variances among them.
    """
    *body, head = [layer for layer in network.layers if layer.weights]
    gone = [any((array != np.float32(value)).any() for array in layer.get_weights()) for layer in body]
    return gone, bool(head.get_weights()[1].any())


def test_frozen_layers_stay_as_they_are_until_all_are_trained(few_faces, monkeypatch):
    begins_with(monkeypatch, 0.05)
    fields = {"weights": "pretrained", "frozen_epochs": 2, "optimizer": "sgd", "learning_rate": 0.1}
    frozen, _ = loop.train(few_faces, replace(DEEP, epochs=2, **fields), 0, progress=lambda line: None)
    assert moved(frozen.model, 0.05) == ([False] * 10, True)
    assert frozen.weights == {"file": "eleven_layers.h5", "sha256": "0" * 64}
    thawed, _ = loop.train(few_faces, replace(DEEP, epochs=3, **fields), 0, progress=lambda line: None)
    assert moved(thawed.model, 0.05) == ([True] * 10, True)
    np.testing.assert_array_equal(
        [entry["loss"] for entry in frozen.history], [entry["loss"] for entry in thawed.history[:2]]
    )
    whole, _ = loop.train(few_faces, replace(DEEP, epochs=1, weights="pretrained"), 0, progress=lambda line: None)
    assert moved(whole.model, 0.05) == ([True] * 10, True)


def test_the_body_learns_at_its_share_of_the_rate(few_faces, monkeypatch):
    """One step, after which each weight of the body has gone half of its way, and the head all of its."""
    begins_with(monkeypatch, 0.05)
    fields = {"weights": "pretrained", "optimizer": "sgd", "learning_rate": 0.1, "batch_size": 42, "epochs": 1}
    ends = {}
    for rate in (1.0, 0.5):
        found, _ = loop.train(few_faces, replace(DEEP, body_rate=rate, **fields), 0, progress=lambda line: None)
        *body, head = [layer for layer in found.model.layers if layer.weights]
        ends[rate] = [keras.ops.convert_to_numpy(v) - np.float32(0.05) for v in body[-1].trainable_variables]
        ends[rate].append(head.get_weights()[1])
    np.testing.assert_allclose(ends[0.5][0], 0.5 * ends[1.0][0], atol=2e-8)
    assert np.abs(ends[1.0][0]).max() > 1e-5
    np.testing.assert_allclose(ends[0.5][-1], ends[1.0][-1], rtol=1e-4, atol=1e-7)


def test_weights_are_asked_of_networks_that_have_some(few_faces):
    expected = "weights: found 'pretrained' with model 'feedforward', expected '', or one of googlenet, caffenet, vgg16"
    with pytest.raises(ValueError, match=expected):
        loop.train(few_faces, replace(SMALL, weights="pretrained"), 0)


@pytest.mark.parametrize("scale", ["0..1", "standardised"])
def test_networks_that_scale_pixels_themselves_refuse_scaled_ones(few_faces, scale):
    protocol = replace(SMALL, model="googlenet", input_scale=scale)
    with pytest.raises(
        ValueError, match=f"input_scale: found '{scale}' with googlenet, expected '0..255': the network"
    ):
        loop.train(few_faces, protocol, 0)


class OneByOne(keras.utils.PyDataset):
    """Batches as ``fit`` takes them on every backend."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="only JAX trains an epoch as one program")
@pytest.mark.parametrize("fields", [{"class_weights": "balanced"}, {"mixing": "cutmix", "ema": 0.9}])
def test_a_scanned_epoch_is_what_fit_does(few_faces, monkeypatch, fields):
    protocol = replace(SMALL, model="simple_cnn", epochs=2, **fields)
    scanned, _ = loop.train(few_faces, protocol, 3, progress=lambda line: None)
    monkeypatch.setattr(loop.backends, "compiled_epochs", None)
    monkeypatch.setattr(loop.backends, "BACKEND", "jax, a batch at a time")
    monkeypatch.setattr(loop.backends, "dataset", OneByOne)  # the study's own is TensorFlow's
    by_fit, _ = loop.train(few_faces, protocol, 3, progress=lambda line: None)
    np.testing.assert_allclose(scanned.logits["last"], by_fit.logits["last"], rtol=1e-3, atol=1e-4)
    for one, other in zip(scanned.history, by_fit.history):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one["accuracy"] == pytest.approx(other["accuracy"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss": "clip"}, "loss: found 'clip', expected one of logits, clipped, any of"),
        ({"learning_rate": "1e-3"}, r"learning_rate: found '1e-3' \(str\), expected float; in YAML write 1.0e-3"),
        ({"augmentation": "mirror"}, "augmentation: found 'mirror', expected one of none, flip, flip and affine"),
        ({"model_options": "wide"}, r"model_options: found 'wide' \(str\), expected dict"),
        ({"epochs": 0}, "epochs: found 0, expected 1 or more"),
        ({"epochs": 2.0}, r"epochs: found 2.0 \(float\), expected int"),
        ({"weight_decay": -0.1}, "weight_decay: found -0.1, expected 0 or more"),
        ({"momentum": 0.9}, "momentum: found 0.9 with adam, expected 0, or sgd"),
        ({"decay": 1e-5, "schedule": "cosine"}, "decay: found 1e-05 with the cosine schedule, expected 0, or constant"),
        ({"label_smoothing": 1.0}, r"label_smoothing: found 1.0 \(logits\), expected 0 or more and less than 1"),
        ({"label_smoothing": 0.1, "loss": "clipped"}, r"label_smoothing: found 0.1 \(clipped\)"),
        ({"keep_network": True}, "keep_network: found true with kept_epoch best, expected last, or false"),
        ({"at_most": {"glad": 3}}, "at_most: found glad: 3, expected some of angry, .*, each with 1 row or more"),
        ({"at_most": {"happy": 0}}, "at_most: found happy: 0"),
        ({"weights": "imagenet"}, "weights: found 'imagenet', expected one of '', pretrained"),
        ({"frozen_epochs": -1}, "frozen_epochs: found -1, expected 0 or more"),
        ({"body_rate": 0.1, "weight_decay": 0.1}, "weight_decay: found 0.1 with body_rate 0.1, expected 0, or 1"),
        ({"patience": 4, "validation_rows": ""}, "patience: found 4 with no validation_rows"),
        ({"optimizer": "lion"}, "optimizer: found 'lion', expected one of adam, rmsprop, sgd, muon"),
        ({"momentum": 0.9, "optimizer": "muon"}, "momentum: found 0.9 with muon, expected 0, or sgd"),
        ({"nesterov": True, "optimizer": "sgd"}, "nesterov: found True with momentum 0, expected False, or a momentum"),
        ({"ema": 1}, "ema: found 1.0, expected 0 or more and less than 1"),
        ({"ema": -0.1}, "ema: found -0.1, expected 0 or more and less than 1"),
        ({"warmup_epochs": 11}, "warmup_epochs: found 11, expected at most the 10 epochs"),
        ({"warmup_epochs": -1}, "warmup_epochs: found -1, expected 0 or more"),
        ({"schedule": "linear", "decay": 1e-5}, "decay: found 1e-05 with the linear schedule, expected 0, or constant"),
        ({"mixing": "blend"}, "mixing: found 'blend', expected one of none, mixup, cutmix"),
        ({"mixing": "mixup", "class_weights": "balanced"}, "mixing: found 'mixup' with class_weights balanced"),
        ({"mixing": "cutmix", "loss": "any of"}, "mixing: found 'cutmix' with class_weights none, loss 'any of'"),
        ({"mixing_alpha": 0}, "mixing_alpha: found 0.0, expected more than 0"),
        ({"views": "flip"}, "views: found 'flip' with kept_epoch best, expected last, or none"),
        ({"views": "mirror"}, "views: found 'mirror', expected one of none, flip, five crops, ten crops"),
        ({"label_smoothing": 0.1, "loss": "symmetric"}, r"label_smoothing: found 0.1 \(symmetric\)"),
        ({"label_smoothing": 0.1, "loss": "bootstrapped"}, r"label_smoothing: found 0.1 \(bootstrapped\)"),
    ],
)
def test_a_wrong_field_is_refused_by_name(wrong, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Protocol(**wrong)


def test_named_protocols_are_fields_of_the_protocol():
    for fields in PROTOCOLS.values():
        Protocol(**fields)
    assert PROTOCOLS["as_published"]["loss"] == "clipped"
    assert PROTOCOLS["honest"]["validation_rows"] == "PublicTest"


def test_bfloat16_trains_close_to_float32(few_faces):
    full, evaluated = loop.train(few_faces, replace(SMALL, epochs=6), 3, progress=lambda line: None)
    half, _ = loop.train(few_faces, replace(SMALL, epochs=6, precision="bfloat16"), 3, progress=lambda line: None)
    keras.config.set_dtype_policy("float32")
    assert half.logits["last"].dtype == np.float32
    assert abs(half.history[-1]["loss"] - full.history[-1]["loss"]) < 0.3 * full.history[0]["loss"]


@pytest.mark.skipif(backends.device()["kind"] == "gpu", reason="a GPU has it")
def test_float32_of_a_gpu_alone_is_refused_without_one(few_faces):
    with pytest.raises(ValueError, match="precision: found 'tensorfloat32' without a GPU"):
        loop.train(few_faces, replace(SMALL, precision="tensorfloat32"), 3)


@pytest.mark.skipif(backends.BACKEND != "jax", reason="JAX alone trains its steps in a loop")
@pytest.mark.parametrize("fields", [{}, RANDOM, {"mixing": "mixup", "ema": 0.9}])
def test_steps_in_one_loop_as_on_a_gpu_are_the_steps_one_by_one(few_faces, monkeypatch, fields):
    import jax

    alone, _ = loop.train(few_faces, replace(SMALL, **fields), 1, progress=lambda line: None)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    looped, _ = loop.train(few_faces, replace(SMALL, **fields), 1, progress=lambda line: None)
    np.testing.assert_allclose(alone.logits["last"], looped.logits["last"], rtol=1e-3, atol=1e-4)
    assert [entry["loss"] for entry in alone.history] == pytest.approx([e["loss"] for e in looped.history], rel=1e-4)


@pytest.mark.skipif(backends.BACKEND != "jax", reason="what JAX pools with here")
@pytest.mark.parametrize("options", [(2, 2, "valid"), (3, 2, "valid"), (3, 2, "same"), (3, 1, "same"), (2, 2, "same")])
@pytest.mark.parametrize("sides", [(12, 12), (7, 9)])
def test_pooling_by_slices_is_jax_own_pooling(options, sides):
    import jax
    from keras.src.backend.jax.nn import _pool

    size, step, padding = options
    faces = np.random.default_rng(0).normal(size=(2, *sides, 3)).astype(np.float32)

    def own(x):
        return _pool(x, -np.inf, jax.lax.max, (1, size, size, 1), (1, step, step, 1), padding)

    def slices(x):
        return backends._max_pool(x, size, step, padding)

    assert (own(faces) == slices(faces)).all()
    weights = np.random.default_rng(1).normal(size=own(faces).shape)
    gradients = [jax.grad(lambda x, f=f: (f(x) * weights).sum())(faces) for f in (own, slices)]
    np.testing.assert_allclose(*gradients, atol=1e-6)


@pytest.mark.parametrize("fields", [{}, {"targets": "drawn"}, {"loss": "any of"}])
def test_a_run_towards_targets_resumes_like_an_unbroken_one(tagged_faces, tmp_path, fields, monkeypatch):
    monkeypatch.setattr(models, "build", lambda name, options: eight_outputs())
    faces, protocol = tagged_faces, replace(SMALL, epochs=2, **fields)
    whole, _ = loop.train(faces, protocol, 5, progress=lambda line: None)
    assert whole.logits["last"].shape == (28, 8)
    assert whole.history[1]["loss"] < whole.history[0]["loss"]

    def kill(line):
        raise Killed

    with pytest.raises(Killed):
        loop.train(faces, protocol, 5, tmp_path, kill)
    with pytest.raises(Killed):
        loop.train(faces, protocol, 5, tmp_path, lambda line: kill(line) if line.startswith("epoch   2") else None)
    broken, _ = loop.train(faces, protocol, 5, tmp_path, lambda line: None)
    np.testing.assert_array_equal(broken.logits["last"], whole.logits["last"])


def eight_outputs():
    layers = [keras.Input((48, 48, 1)), keras.layers.Flatten(), keras.layers.Dense(8, dtype="float32")]
    return keras.Sequential(layers)


def test_outputs_and_emotions_must_be_as_many_and_targets_there_to_be_drawn(few_faces, tagged_faces):
    with pytest.raises(ValueError, match="model: found feedforward with 7 outputs for the 8 of drawn_faces"):
        loop.train(tagged_faces, SMALL, 0)
    with pytest.raises(ValueError, match="targets: found 'drawn', but drawn_faces has labels only"):
        loop.train(few_faces, replace(SMALL, targets="drawn"), 0)
