"""Training: the loss at saturation, determinism, early stopping, resuming. Runs under every Keras backend."""

import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from fer_lib import augmentation, metrics, models, training
from fer_lib.emotions import EIGHT
from fer_lib.protocol import PROTOCOLS, WITHOUT_TWINS, Protocol

SMALL = Protocol(model="feedforward", epochs=3, batch_size=16, learning_rate=1e-4)


def gradient(form: str, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The loss's gradient with respect to the logits, on whatever backend runs."""
    loss, x = training.loss_function(form), keras.ops.convert_to_tensor(logits)
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda value: loss(labels, value).mean())(x))
    import tensorflow

    with tensorflow.GradientTape() as tape:
        tape.watch(x)
        value = keras.ops.mean(loss(labels, x))
    return tape.gradient(value, x).numpy()


SATURATED = np.array([[0, 0, 0, 900, 0, 0, 0]], np.float32)


def test_a_saturated_wrong_answer_passes_no_gradient_through_the_clipped_loss():
    wrong, right = np.array([0]), np.array([3])
    assert (gradient("clipped", SATURATED, wrong) == 0).all()
    assert (gradient("clipped", SATURATED, right) == 0).all()
    expected = np.array([[-1, 0, 0, 1, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(gradient("logits", SATURATED, wrong), expected, atol=1e-6)


def test_both_losses_agree_where_nothing_is_saturated():
    logits = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    labels = np.arange(5)
    np.testing.assert_allclose(gradient("clipped", logits, labels), gradient("logits", logits, labels), atol=1e-6)


def test_the_clipped_loss_of_a_wrong_answer_is_old_keras_plateau():
    """A collapsed network's loss was 13.9670 at 13.346 % accuracy: -ln(1e-7) x (1 - accuracy)."""
    labels = np.array([0] * 958 + [3] * 6220)
    logits = np.tile(np.array([[900, 0, 0, 0, 0, 0, 0]], np.float32), (7178, 1))
    assert metrics.cross_entropy(logits, labels, "clipped").mean() == pytest.approx(13.9670, abs=2e-4)


@pytest.mark.parametrize("form", ["clipped", "logits"])
def test_the_training_loss_and_the_scored_loss_are_the_same_function(form):
    logits = np.random.default_rng(1).normal(0, 20, size=(50, 7)).astype(np.float32)
    labels = np.random.default_rng(2).integers(0, 7, 50)
    trained = keras.ops.convert_to_numpy(training.loss_function(form)(labels, keras.ops.convert_to_tensor(logits)))
    np.testing.assert_allclose(trained, metrics.cross_entropy(logits, labels, form), rtol=1e-5, atol=1e-6)


def test_a_network_learns_and_the_same_seed_gives_the_same_predictions(few_faces):
    first, evaluated = training.train(few_faces, SMALL, seed=1, progress=lambda line: None)
    again, _ = training.train(few_faces, SMALL, seed=1, progress=lambda line: None)
    other, _ = training.train(few_faces, SMALL, seed=2, progress=lambda line: None)
    np.testing.assert_array_equal(first.logits["last"], again.logits["last"])
    assert (first.logits["last"] != other.logits["last"]).any()
    assert len(evaluated) == 28
    assert first.history[-1]["loss"] < first.history[0]["loss"]
    assert first.history[first.best_epoch - 1]["PublicTest_accuracy"] == max(
        e["PublicTest_accuracy"] for e in first.history
    )


class Killed(BaseException):
    pass


RANDOM = {"augmentation": "flip and affine", "sampling": "balanced", "class_weights": "balanced"}
FINE_TUNED = {"frozen_epochs": 2, "body_rate": 0.1, "optimizer": "sgd", "momentum": 0.9, "augmentation": "flip"}


LIVE = {
    "model": "small_vgg", "model_options": {"width": 4}, "optimizer": "sgd", "momentum": 0.9, "schedule": "cosine",
    "decay": 0.0, "input_scale": "each standardised", "label_smoothing": 0.1,
    "augmentation": "flip, affine and erasing",
}  # fmt: skip


@pytest.mark.parametrize(
    "fields", [{"optimizer": "adam"}, {"optimizer": "rmsprop"}, {"optimizer": "sgd"}, RANDOM, FINE_TUNED, LIVE]
)
def test_a_run_killed_after_any_epoch_ends_like_an_unbroken_one(few_faces, tmp_path, fields):
    protocol = replace(SMALL, **{"decay": 1e-3, "epochs": 4, "patience": 3, "milestone": 2} | fields)
    whole, _ = training.train(few_faces, protocol, 5, progress=lambda line: None)
    for last in (2, 3, 4, 5):  # killed in epoch 2 before its state is kept, then in 3, then in 4, then not

        def kill(line, last=last):
            if line.startswith(f"epoch   {last}"):
                raise Killed

        try:
            broken, _ = training.train(few_faces, protocol, 5, tmp_path, kill)
        except Killed:
            assert [path.name for path in tmp_path.glob("checkpoint-*")] == [f"checkpoint-{last - 1:04d}"]
    assert [entry["loss"] for entry in broken.history] == [entry["loss"] for entry in whole.history]
    np.testing.assert_array_equal(broken.logits["last"], whole.logits["last"])
    np.testing.assert_array_equal(broken.logits["best"], whole.logits["best"])
    np.testing.assert_array_equal(broken.logits["milestone"], whole.logits["milestone"])
    assert broken.best_epoch == whole.best_epoch


def test_a_checkpoint_of_other_parameters_is_not_used(few_faces, tmp_path):
    training.train(few_faces, replace(SMALL, epochs=1), 0, tmp_path, lambda line: None)
    lines = []
    result, _ = training.train(few_faces, replace(SMALL, epochs=1, learning_rate=1e-3), 0, tmp_path, lines.append)
    assert not any("continuing" in line for line in lines)
    assert len(result.history) == 1


def test_a_checkpoint_from_before_a_field_existed_did_what_its_default_does(few_faces, tmp_path):
    for weight_decay, goes_on in ((0.1, False), (0.0, True)):
        folder, lines = tmp_path / str(weight_decay), []
        training.train(few_faces, replace(SMALL, epochs=1), 0, folder, lambda line: None)
        state = folder / "checkpoint-0001" / "state.json"
        facts = json.loads(state.read_text())
        facts["identity"]["protocol"]["epochs"] = 2
        del facts["identity"]["protocol"]["weight_decay"]
        state.write_text(json.dumps(facts))
        training.train(few_faces, replace(SMALL, epochs=2, weight_decay=weight_decay), 0, folder, lines.append)
        assert ("continuing after epoch 1" in lines) == goes_on


def test_a_half_written_checkpoint_is_ignored(few_faces, tmp_path):
    whole, _ = training.train(few_faces, SMALL, 0, tmp_path, lambda line: None)
    kept = next(tmp_path.glob("checkpoint-*"))
    shutil.move(kept, tmp_path / "checkpoint.partial")
    (tmp_path / "checkpoint.partial" / "state.json").unlink()
    again, _ = training.train(few_faces, SMALL, 0, tmp_path, lambda line: None)
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
        if ours is None and training.should_stop(losses[: epoch + 1], patience):
            ours = epoch
    assert ours == keras_stops


def test_no_patience_never_stops():
    assert not training.should_stop([1.0, 2.0, 3.0, 4.0], 0)


def test_decay_is_old_keras_per_step_decay():
    optimizer = training.make_optimizer(Protocol(learning_rate=1e-4, decay=1e-5))
    for step in (0, 1, 4500):
        assert float(optimizer._learning_rate(step)) == pytest.approx(1e-4 / (1 + 1e-5 * step), rel=1e-5)


def test_input_scales(few_faces):
    images = few_faces.images
    assert training.scaler(images, "0..255")(images).max() == images.max()
    assert training.scaler(images, "0..1")(images).max() == pytest.approx(images.max() / 255)
    each = training.scaler(images, "each standardised")
    even = images // 2 * 2
    np.testing.assert_allclose(each(even // 2 + 20), each(even), atol=0.1)  # half the contrast, and brighter
    np.testing.assert_allclose(each(images).mean(axis=(1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(each(images).std(axis=(1, 2, 3)), 1, atol=0.02)
    assert (each(np.full((1, 48, 48), 7, np.uint8)) == 0).all()
    standard = training.scaler(images, "standardised")(images)
    assert standard.shape == (70, 48, 48, 1)
    assert standard.mean() == pytest.approx(0, abs=1e-3)
    assert standard.std() == pytest.approx(1, abs=1e-3)


def test_a_subset_of_training_rows_is_the_same_for_all_seeds(few_faces):
    rows = training.training_rows(few_faces, replace(SMALL, rows=20))
    assert len(rows) == 20
    assert (few_faces.split[rows] == 0).all()
    with pytest.raises(ValueError, match="rows: found 99, but Training of drawn_faces has 42"):
        training.training_rows(few_faces, replace(SMALL, rows=99))


def test_rows_whose_image_a_test_set_shows_can_be_left_out(few_faces):
    images = few_faces.images.copy()
    images[[3, 7]] = images[50]  # of PublicTest
    images[60] = images[11]  # of PrivateTest
    images[13] = images[12]  # both of Training
    faces = replace(few_faces, images=images)
    rows = training.training_rows(faces, replace(SMALL, train_rows=WITHOUT_TWINS))
    assert sorted(set(range(42)) - set(rows)) == [3, 7, 11]
    with pytest.raises(ValueError, match="rows: found 40, but Training without twins of drawn_faces has 39"):
        training.training_rows(faces, replace(SMALL, train_rows=WITHOUT_TWINS, rows=40))


def test_an_emotion_can_have_fewer_rows(few_faces):
    everything = training.training_rows(few_faces, SMALL)
    rows = training.training_rows(few_faces, replace(SMALL, at_most={"happy": 2, "disgust": 5}))
    assert (np.diff(rows) > 0).all() and set(rows) < set(everything)
    assert np.bincount(few_faces.labels[rows]).tolist() == [6, 5, 6, 2, 6, 6, 6]
    other_order = replace(SMALL, at_most={"disgust": 5, "happy": 2})
    np.testing.assert_array_equal(rows, training.training_rows(few_faces, other_order))
    with pytest.raises(ValueError, match="at_most happy: found 7, but happy rows of Training of drawn_faces has 6"):
        training.training_rows(few_faces, replace(SMALL, at_most={"happy": 7}))


@pytest.mark.parametrize("name", ["adam", "rmsprop", "sgd"])
def test_weight_decay_takes_its_share_of_a_weight_that_nothing_else_moves(name):
    weight = keras.Variable(np.array([2.0, -1.0], np.float32))
    optimizer = training.make_optimizer(Protocol(optimizer=name, learning_rate=0.1, weight_decay=0.5))
    for _ in range(3):
        optimizer.apply([np.zeros(2, np.float32)], [weight])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), np.array([2.0, -1.0]) * 0.95**3, rtol=1e-5)
    assert training.make_optimizer(Protocol(optimizer=name)).weight_decay is None


def test_momentum_goes_on_where_the_gradient_has_ended():
    weight = keras.Variable(np.zeros(1, np.float32))
    optimizer = training.make_optimizer(Protocol(optimizer="sgd", learning_rate=0.1, momentum=0.9))
    for gradient in (1.0, 0.0, 0.0):
        optimizer.apply([np.array([gradient], np.float32)], [weight])
    assert float(weight[0]) == pytest.approx(-0.1 * (1 + 0.9 + 0.81), rel=1e-5)


def test_the_cosine_schedule_ends_at_nothing():
    protocol = Protocol(optimizer="sgd", learning_rate=0.1, schedule="cosine")
    optimizer = training.make_optimizer(protocol, steps=10)
    weight, rates = keras.Variable(np.zeros(1, np.float32)), []
    for _ in range(10):
        rates.append(float(optimizer.learning_rate))
        optimizer.apply([np.ones(1, np.float32)], [weight])
    np.testing.assert_allclose(rates, 0.05 * (1 + np.cos(np.pi * np.arange(10) / 10)), rtol=1e-5)
    assert float(optimizer.learning_rate) == pytest.approx(0, abs=1e-9)


def test_label_smoothing_is_cross_entropy_with_softened_labels():
    logits = np.random.default_rng(0).normal(0, 3, (5, 7)).astype(np.float32)
    labels = np.array([0, 6, 3, 3, 1])
    targets = 0.9 * np.eye(7)[labels] + 0.1 / 7
    loss = training.loss_function("logits", 0.1)(labels, keras.ops.convert_to_tensor(logits))
    expected = -(targets * np.log(metrics.probabilities(logits))).sum(axis=1)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loss), expected, rtol=1e-5)


def test_a_milestone_is_what_a_run_of_so_many_epochs_ends_with(few_faces):
    long, _ = training.train(few_faces, replace(SMALL, milestone=2), 4, progress=lambda line: None)
    short, _ = training.train(few_faces, replace(SMALL, epochs=2), 4, progress=lambda line: None)
    np.testing.assert_array_equal(long.logits["milestone"], short.logits["last"])


def test_a_subset_of_test_rows_is_predicted_as_in_the_whole(few_faces):
    whole, everything = training.train(few_faces, replace(SMALL, epochs=1), 4, progress=lambda line: None)
    some, evaluated = training.train(few_faces, replace(SMALL, epochs=1, test_rows=9), 4, progress=lambda line: None)
    assert len(evaluated) == 9
    assert (np.diff(evaluated.ids) > 0).all()
    same = np.isin(everything.ids, evaluated.ids)
    np.testing.assert_allclose(some.logits["last"], whole.logits["last"][same], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"test_rows: found 99, but PublicTest\+PrivateTest of drawn_faces has 28"):
        training.evaluated_rows(few_faces, replace(SMALL, test_rows=99))


UNEVEN = np.repeat(np.arange(7, dtype=np.uint8), (500, 10, 200, 900, 300, 100, 400))


def test_shuffled_epochs_show_each_row_once():
    order = training.epoch_order(UNEVEN, "shuffled", 0, 1)
    assert sorted(order) == list(range(len(UNEVEN)))
    assert (order != training.epoch_order(UNEVEN, "shuffled", 0, 2)).any()
    assert (order != training.epoch_order(UNEVEN, "shuffled", 1, 1)).any()


def test_balanced_sampling_shows_each_emotion_as_often():
    order = training.epoch_order(UNEVEN, "balanced", 0, 1)
    assert len(order) == len(UNEVEN)
    shown = np.bincount(UNEVEN[order], minlength=7)
    assert shown.min() > 0.8 * len(UNEVEN) / 7
    assert shown.max() < 1.2 * len(UNEVEN) / 7


def test_class_weights_make_a_rare_emotion_count(few_faces):
    """42 training rows, of which disgust keeps one: its logit must rise where its loss counts sevenfold."""
    labels = few_faces.labels.copy()
    labels[:42][labels[:42] == 1] = 0
    labels[1] = 1
    uneven = replace(few_faces, labels=labels)
    protocol = replace(SMALL, epochs=8)
    plain, _ = training.train(uneven, protocol, 0, progress=lambda line: None)
    weighted, _ = training.train(uneven, replace(protocol, class_weights="balanced"), 0, progress=lambda line: None)
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

    monkeypatch.setattr(training.weights, "load", load)


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
    frozen, _ = training.train(few_faces, replace(DEEP, epochs=2, **fields), 0, progress=lambda line: None)
    assert moved(frozen.model, 0.05) == ([False] * 10, True)
    assert frozen.weights == {"file": "eleven_layers.h5", "sha256": "0" * 64}
    thawed, _ = training.train(few_faces, replace(DEEP, epochs=3, **fields), 0, progress=lambda line: None)
    assert moved(thawed.model, 0.05) == ([True] * 10, True)
    np.testing.assert_array_equal(
        [entry["loss"] for entry in frozen.history], [entry["loss"] for entry in thawed.history[:2]]
    )
    whole, _ = training.train(few_faces, replace(DEEP, epochs=1, weights="pretrained"), 0, progress=lambda line: None)
    assert moved(whole.model, 0.05) == ([True] * 10, True)


@pytest.mark.parametrize("name", ["adam", "rmsprop", "sgd"])
def test_a_share_of_the_learning_rate_makes_that_share_of_a_step(name):
    protocol = Protocol(optimizer=name, learning_rate=0.1)
    first, second, plain = (keras.Variable(np.zeros(3, np.float32)) for _ in range(3))
    gradient = np.array([0.5, -2.0, 0.1], np.float32)
    shared = training.make_optimizer(protocol, shares=[1.0, 0.25])
    usual = training.make_optimizer(protocol)
    for _ in range(3):
        shared.apply([gradient, gradient], [first, second])
        usual.apply([gradient], [plain])
    np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(v) for v in (first, plain)))
    np.testing.assert_allclose(*(keras.ops.convert_to_numpy(v) for v in (second, 0.25 * plain)), rtol=1e-6)
    assert np.abs(keras.ops.convert_to_numpy(plain)).min() > 0.01


def test_the_body_learns_at_its_share_of_the_rate(few_faces, monkeypatch):
    """One step, after which each weight of the body has gone half of its way, and the head all of its."""
    begins_with(monkeypatch, 0.05)
    fields = {"weights": "pretrained", "optimizer": "sgd", "learning_rate": 0.1, "batch_size": 42, "epochs": 1}
    ends = {}
    for rate in (1.0, 0.5):
        found, _ = training.train(few_faces, replace(DEEP, body_rate=rate, **fields), 0, progress=lambda line: None)
        *body, head = [layer for layer in found.model.layers if layer.weights]
        ends[rate] = [keras.ops.convert_to_numpy(v) - np.float32(0.05) for v in body[-1].trainable_variables]
        ends[rate].append(head.get_weights()[1])
    np.testing.assert_allclose(ends[0.5][0], 0.5 * ends[1.0][0], atol=2e-8)
    assert np.abs(ends[1.0][0]).max() > 1e-5
    np.testing.assert_allclose(ends[0.5][-1], ends[1.0][-1], rtol=1e-4, atol=1e-7)


def test_weights_are_asked_of_networks_that_have_some(few_faces):
    expected = "weights: found 'pretrained' with model 'feedforward', expected '', or one of googlenet, caffenet, vgg16"
    with pytest.raises(ValueError, match=expected):
        training.train(few_faces, replace(SMALL, weights="pretrained"), 0)


@pytest.mark.parametrize("scale", ["0..1", "standardised"])
def test_networks_that_scale_pixels_themselves_refuse_scaled_ones(few_faces, scale):
    protocol = replace(SMALL, model="googlenet", input_scale=scale)
    with pytest.raises(
        ValueError, match=f"input_scale: found '{scale}' with googlenet, expected '0..255': the network"
    ):
        training.train(few_faces, protocol, 0)


@pytest.mark.parametrize("name", ["flip", "flip and affine", "flip, affine and erasing"])
def test_augmentation_changes_faces_in_training_and_none_in_prediction(name):
    same = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Activation("linear")])
    assert augmentation.augmented(same, "none") is same
    network = augmentation.augmented(same, name)
    assert network.count_params() == 0
    faces = np.random.default_rng(0).uniform(0, 255, (40, 48, 48, 1)).astype(np.float32)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(network(faces, training=False)), faces)
    shown = keras.ops.convert_to_numpy(network(faces, training=True))
    assert shown.shape == faces.shape
    mirrored = (shown == faces[:, :, ::-1]).all(axis=(1, 2, 3)).sum()
    kept = (shown == faces).all(axis=(1, 2, 3)).sum()
    if name == "flip":
        assert mirrored + kept == 40
        assert mirrored > 5
        assert kept > 5
    else:
        assert mirrored + kept < 5
    again = keras.ops.convert_to_numpy(network(faces, training=True))
    assert (shown != again).any()


def test_erasing_blackens_a_part_of_every_other_face():
    same = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Activation("linear")])
    network = augmentation.augmented(same, "flip, affine and erasing")
    shown = keras.ops.convert_to_numpy(network(np.ones((200, 48, 48, 1), np.float32), training=True))
    share = (shown == 0).mean(axis=(1, 2, 3))
    assert 60 < (share > 0).sum() < 140
    assert share.max() < 0.25


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="only JAX trains an epoch as one program")
def test_a_scanned_epoch_is_what_fit_does(few_faces, monkeypatch):
    protocol = replace(SMALL, model="simple_cnn", class_weights="balanced", epochs=2)
    scanned, _ = training.train(few_faces, protocol, 3, progress=lambda line: None)
    monkeypatch.setattr(training.backends, "scanned_epochs", None)
    monkeypatch.setattr(training.backends, "BACKEND", "jax, a batch at a time")
    by_fit, _ = training.train(few_faces, protocol, 3, progress=lambda line: None)
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
    full, evaluated = training.train(few_faces, replace(SMALL, epochs=6), 3, progress=lambda line: None)
    half, _ = training.train(few_faces, replace(SMALL, epochs=6, precision="bfloat16"), 3, progress=lambda line: None)
    keras.config.set_dtype_policy("float32")
    assert half.logits["last"].dtype == np.float32
    assert abs(half.history[-1]["loss"] - full.history[-1]["loss"]) < 0.3 * full.history[0]["loss"]


def test_the_loss_of_several_labels_is_that_of_the_likeliest_and_of_one_the_usual():
    logits = np.random.default_rng(3).normal(0, 3, (40, 8)).astype(np.float32)
    several = (np.random.default_rng(4).random((40, 8)) < 0.4).astype(np.float32)
    several[:, 0] = 1
    found = keras.ops.convert_to_numpy(training.loss_function("any of")(several, keras.ops.convert_to_tensor(logits)))
    expected = [min(-log_softmax(row)[true > 0]) for row, true in zip(logits, several)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    one = np.arange(40) % 8
    found = keras.ops.convert_to_numpy(training.loss_function("any of")(one, keras.ops.convert_to_tensor(logits)))
    np.testing.assert_allclose(found, metrics.cross_entropy(logits, one, "any of"), rtol=1e-4)


@pytest.mark.parametrize("form", ["logits", "clipped"])
def test_the_loss_of_targets_is_the_mean_over_their_shares(form):
    logits = np.random.default_rng(5).normal(0, 3, (40, 8)).astype(np.float32)
    shares = np.random.default_rng(6).dirichlet(np.ones(8), 40).astype(np.float32)
    loss = training.loss_function(form)
    found = keras.ops.convert_to_numpy(loss(shares, keras.ops.convert_to_tensor(logits)))
    each = np.array([metrics.cross_entropy(logits, np.full(40, k), form) for k in range(8)]).T
    np.testing.assert_allclose(found, (shares * each).sum(axis=1), rtol=1e-4)


def tagged(faces):
    """Faces that show their label by six tenths and the emotion after it by four, of eight emotions."""
    targets = np.eye(8, dtype=np.float32)[faces.labels] * 0.6 + np.eye(8, dtype=np.float32)[faces.labels + 1] * 0.4
    return replace(faces, emotions=EIGHT, targets=targets)


@pytest.mark.parametrize("fields", [{}, {"targets": "drawn"}, {"loss": "any of"}])
def test_a_run_towards_targets_resumes_like_an_unbroken_one(few_faces, tmp_path, fields, monkeypatch):
    monkeypatch.setattr(models, "build", lambda name, options: eight_outputs())
    faces, protocol = tagged(few_faces), replace(SMALL, epochs=2, **fields)
    whole, _ = training.train(faces, protocol, 5, progress=lambda line: None)
    assert whole.logits["last"].shape == (28, 8)
    assert whole.history[1]["loss"] < whole.history[0]["loss"]

    def kill(line):
        raise Killed

    with pytest.raises(Killed):
        training.train(faces, protocol, 5, tmp_path, kill)
    with pytest.raises(Killed):
        training.train(faces, protocol, 5, tmp_path, lambda line: kill(line) if line.startswith("epoch   2") else None)
    broken, _ = training.train(faces, protocol, 5, tmp_path, lambda line: None)
    np.testing.assert_array_equal(broken.logits["last"], whole.logits["last"])


def eight_outputs():
    layers = [keras.Input((48, 48, 1)), keras.layers.Flatten(), keras.layers.Dense(8, dtype="float32")]
    return keras.Sequential(layers)


def test_labels_are_drawn_by_their_shares_and_anew_for_each_epoch(few_faces):
    faces, drawn = tagged(few_faces), Protocol(targets="drawn")
    first, again, second = (training.epoch_targets(faces, drawn, 1, epoch) for epoch in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.int32 and (first != second).any()
    assert ((first == faces.labels) | (first == faces.labels + 1)).all()
    many = np.mean([training.epoch_targets(faces, drawn, 1, epoch) == faces.labels for epoch in range(100)])
    assert many == pytest.approx(0.6, abs=0.02)
    np.testing.assert_array_equal(training.epoch_targets(faces, Protocol(), 1, 1), faces.targets)


def test_outputs_and_emotions_must_be_as_many_and_targets_there_to_be_drawn(few_faces):
    with pytest.raises(ValueError, match="model: found feedforward with 7 outputs for the 8 of drawn_faces"):
        training.train(tagged(few_faces), SMALL, 0)
    with pytest.raises(ValueError, match="targets: found 'drawn', but drawn_faces has labels only"):
        training.train(few_faces, replace(SMALL, targets="drawn"), 0)
