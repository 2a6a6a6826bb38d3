"""Training: the loss at saturation, determinism, early stopping, resuming. Runs under every Keras backend."""

import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_lib import metrics, training
from fer_lib.protocol import PROTOCOLS, Protocol

SMALL = Protocol(model="feedforward", epochs=3, batch_size=16, learning_rate=1e-4)


def gradient(form: str, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The loss's gradient with respect to the logits, on whatever backend runs."""
    loss, x = training.loss_function(form), keras.ops.convert_to_tensor(logits)
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda value: loss(labels, value))(x))
    import tensorflow

    with tensorflow.GradientTape() as tape:
        tape.watch(x)
        value = loss(labels, x)
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
    trained = float(
        keras.ops.convert_to_numpy(training.loss_function(form)(labels, keras.ops.convert_to_tensor(logits)))
    )
    assert trained == pytest.approx(metrics.cross_entropy(logits, labels, form).mean(), rel=1e-5)


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


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_a_run_killed_after_any_epoch_ends_like_an_unbroken_one(few_faces, tmp_path, optimizer):
    protocol = replace(SMALL, optimizer=optimizer, decay=1e-3, epochs=4, patience=3)
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
    assert broken.best_epoch == whole.best_epoch


def test_a_checkpoint_of_other_parameters_is_not_used(few_faces, tmp_path):
    training.train(few_faces, replace(SMALL, epochs=1), 0, tmp_path, lambda line: None)
    lines = []
    result, _ = training.train(few_faces, replace(SMALL, epochs=1, learning_rate=1e-3), 0, tmp_path, lines.append)
    assert not any("continuing" in line for line in lines)
    assert len(result.history) == 1


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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss": "clip"}, "loss: found 'clip', expected one of logits, clipped"),
        ({"learning_rate": "1e-3"}, r"learning_rate: found '1e-3' \(str\), expected float; in YAML write 1.0e-3"),
        ({"epochs": 0}, "epochs: found 0, expected 1 or more"),
        ({"epochs": 2.0}, r"epochs: found 2.0 \(float\), expected int"),
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
