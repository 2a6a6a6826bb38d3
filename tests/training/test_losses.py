"""The losses: at saturation, beside the scored ones, towards several labels. Runs under every Keras backend."""

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

from fer_lib.evaluation import metrics
from fer_lib.training import losses


def gradient(form: str, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The loss's gradient with respect to the logits, on whatever backend runs."""
    loss, x = losses.loss_function(form), keras.ops.convert_to_tensor(logits)
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda value: loss(labels, value).mean())(x))
    import tensorflow

    with tensorflow.GradientTape() as tape:
        tape.watch(x)
        value = keras.ops.mean(loss(labels, x))
    return tape.gradient(value, x).numpy()


SATURATED = np.array([[0, 0, 0, 900, 0, 0, 0]], np.float32)


def test_a_saturated_wrong_prediction_passes_no_gradient_through_the_clipped_loss():
    wrong, right = np.array([0]), np.array([3])
    assert (gradient("clipped", SATURATED, wrong) == 0).all()
    assert (gradient("clipped", SATURATED, right) == 0).all()
    expected = np.array([[-1, 0, 0, 1, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(gradient("logits", SATURATED, wrong), expected, atol=1e-6)


def test_both_losses_agree_where_nothing_is_saturated():
    logits = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    labels = np.arange(5)
    np.testing.assert_allclose(gradient("clipped", logits, labels), gradient("logits", logits, labels), atol=1e-6)


def test_the_clipped_loss_of_a_wrong_prediction_is_old_keras_plateau():
    """A collapsed network's loss was 13.9670 at 13.346 % accuracy: -ln(1e-7) x (1 - accuracy)."""
    labels = np.array([0] * 958 + [3] * 6220)
    logits = np.tile(np.array([[900, 0, 0, 0, 0, 0, 0]], np.float32), (7178, 1))
    assert metrics.cross_entropy(logits, labels, "clipped").mean() == pytest.approx(13.9670, abs=2e-4)


@pytest.mark.parametrize("form", ["clipped", "logits"])
def test_the_training_loss_and_the_scored_loss_are_the_same_function(form):
    logits = np.random.default_rng(1).normal(0, 20, size=(50, 7)).astype(np.float32)
    labels = np.random.default_rng(2).integers(0, 7, 50)
    trained = keras.ops.convert_to_numpy(losses.loss_function(form)(labels, keras.ops.convert_to_tensor(logits)))
    np.testing.assert_allclose(trained, metrics.cross_entropy(logits, labels, form), rtol=1e-5, atol=1e-6)


def test_label_smoothing_is_cross_entropy_with_softened_labels():
    logits = np.random.default_rng(0).normal(0, 3, (5, 7)).astype(np.float32)
    labels = np.array([0, 6, 3, 3, 1])
    targets = 0.9 * np.eye(7)[labels] + 0.1 / 7
    loss = losses.loss_function("logits", 0.1)(labels, keras.ops.convert_to_tensor(logits))
    expected = -(targets * np.log(metrics.probabilities(logits))).sum(axis=1)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loss), expected, rtol=1e-5)


def test_the_loss_of_several_labels_is_that_of_the_likeliest_and_of_one_the_usual():
    logits = np.random.default_rng(3).normal(0, 3, (40, 8)).astype(np.float32)
    several = (np.random.default_rng(4).random((40, 8)) < 0.4).astype(np.float32)
    several[:, 0] = 1
    found = keras.ops.convert_to_numpy(losses.loss_function("any of")(several, keras.ops.convert_to_tensor(logits)))
    expected = [min(-log_softmax(row)[true > 0]) for row, true in zip(logits, several)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    one = np.arange(40) % 8
    found = keras.ops.convert_to_numpy(losses.loss_function("any of")(one, keras.ops.convert_to_tensor(logits)))
    np.testing.assert_allclose(found, metrics.cross_entropy(logits, one, "any of"), rtol=1e-4)


@pytest.mark.parametrize("form", ["logits", "clipped"])
def test_the_loss_of_targets_is_the_mean_over_their_shares(form):
    logits = np.random.default_rng(5).normal(0, 3, (40, 8)).astype(np.float32)
    shares = np.random.default_rng(6).dirichlet(np.ones(8), 40).astype(np.float32)
    loss = losses.loss_function(form)
    found = keras.ops.convert_to_numpy(loss(shares, keras.ops.convert_to_tensor(logits)))
    each = np.array([metrics.cross_entropy(logits, np.full(40, k), form) for k in range(8)]).T
    np.testing.assert_allclose(found, (shares * each).sum(axis=1), rtol=1e-4)


def bootstrapped(logits: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Reed et al. 2015, equation 7 at beta 0.95."""
    predicted = metrics.probabilities(logits).astype(np.float64)
    return -((0.95 * shares + 0.05 * predicted) * log_softmax(logits.astype(np.float64), axis=1)).sum(axis=1)


def symmetric(logits: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Wang et al. 2019, equation 8 at alpha 0.1, beta 1 and A = -4."""
    usual = -(shares * log_softmax(logits.astype(np.float64), axis=1)).sum(axis=1)
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log(shares.astype(np.float64)), -4)
    return 0.1 * usual - (metrics.probabilities(logits) * logs).sum(axis=1)


FOR_NOISE = pytest.mark.parametrize(("form", "by_hand"), [("bootstrapped", bootstrapped), ("symmetric", symmetric)])


@FOR_NOISE
def test_a_loss_for_wrong_labels_is_its_papers_for_codes_and_for_targets(form, by_hand):
    logits = np.random.default_rng(7).normal(0, 3, (40, 8)).astype(np.float32)
    codes = np.arange(40) % 8
    mixed = 0.7 * np.eye(8)[codes] + 0.3 * np.eye(8)[codes[::-1]]
    spread = np.random.default_rng(8).dirichlet(np.ones(8), 40)
    for labels, shares in ((codes, np.eye(8)[codes]), *((x.astype(np.float32), x) for x in (mixed, spread))):
        loss = losses.loss_function(form)(labels, keras.ops.convert_to_tensor(logits))
        assert loss.shape == (40,)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(loss), by_hand(logits, shares), rtol=1e-4, atol=1e-5)


@FOR_NOISE
def test_a_loss_for_wrong_labels_costs_a_wrong_one_less_than_cross_entropy_does(form, by_hand):
    logits = np.array([[0, 0, 0, 20, 0, 0, 0]], np.float32)
    labels = np.array([0])
    assert 0 < by_hand(logits, np.eye(7)[labels])[0] < metrics.cross_entropy(logits, labels, "logits")[0]
    pull = np.abs(gradient(form, logits, labels)).max()
    assert 0 < pull < 0.96 < np.abs(gradient("logits", logits, labels)).max()


@FOR_NOISE
@pytest.mark.parametrize("scale", [0, 1, 900])
def test_gradients_of_a_loss_for_wrong_labels_are_those_of_small_steps_and_finite(form, by_hand, scale):
    logits = (scale * np.random.default_rng(9).uniform(-1, 1, (6, 7))).astype(np.float32)
    codes = np.arange(6)
    shares = 0.6 * np.eye(7)[codes] + 0.4 * np.eye(7)[codes + 1]
    for labels, of_labels in ((codes, np.eye(7)[codes]), (shares.astype(np.float32), shares)):
        found = gradient(form, logits, labels)
        assert np.isfinite(found).all()
        if scale < 900:
            step = 1e-2 * np.eye(7)[3]
            rise = by_hand(logits + step, of_labels).mean() - by_hand(logits - step, of_labels).mean()
            assert found[:, 3].sum() == pytest.approx(rise / 2e-2, rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("soft", [False, True])
def test_the_squared_hinge_is_that_of_one_support_vector_machine_for_each_emotion(soft):
    logits = np.random.default_rng(5).normal(0, 2, (30, 7)).astype(np.float32)
    labels = np.random.default_rng(6).integers(0, 7, 30)
    given = np.eye(7, dtype=np.float32)[labels] if soft else labels
    found = keras.ops.convert_to_numpy(
        losses.loss_function("squared hinge")(given, keras.ops.convert_to_tensor(logits))
    )
    expected = np.zeros(30)
    for row, label in enumerate(labels):
        for emotion in range(7):
            sign = 1 if emotion == label else -1
            expected[row] += max(0, 1 - sign * logits[row, emotion]) ** 2
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    gradient_of_it = gradient("squared hinge", logits, labels)
    signs = 2 * np.eye(7)[labels] - 1
    expected = -2 * signs * np.maximum(0, 1 - signs * logits) / len(labels)  # of the mean
    np.testing.assert_allclose(gradient_of_it, expected, rtol=1e-4, atol=1e-6)
