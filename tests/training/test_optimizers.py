"""Optimisers: decays, momentum, schedules, shares of the rate, Muon, averages. Runs under every Keras backend."""

import keras
import numpy as np
import pytest

from fer_lib.training import optimizers
from fer_lib.training.protocol import Protocol


def test_decay_is_old_keras_per_step_decay():
    optimizer = optimizers.make_optimizer(Protocol(learning_rate=1e-4, decay=1e-5))
    for step in (0, 1, 4500):
        assert float(optimizer._learning_rate(step)) == pytest.approx(1e-4 / (1 + 1e-5 * step), rel=1e-5)


@pytest.mark.parametrize("name", ["adam", "rmsprop", "sgd", "muon"])
def test_weight_decay_takes_its_share_of_a_weight_that_nothing_else_moves(name):
    weight = keras.Variable(np.array([2.0, -1.0], np.float32))
    optimizer = optimizers.make_optimizer(Protocol(optimizer=name, learning_rate=0.1, weight_decay=0.5))
    for _ in range(3):
        optimizer.apply([np.zeros(2, np.float32)], [weight])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), np.array([2.0, -1.0]) * 0.95**3, rtol=1e-5)
    assert optimizers.make_optimizer(Protocol(optimizer=name)).weight_decay is None


def test_momentum_goes_on_where_the_gradient_has_ended():
    weight = keras.Variable(np.zeros(1, np.float32))
    optimizer = optimizers.make_optimizer(Protocol(optimizer="sgd", learning_rate=0.1, momentum=0.9))
    for gradient in (1.0, 0.0, 0.0):
        optimizer.apply([np.array([gradient], np.float32)], [weight])
    assert float(weight[0]) == pytest.approx(-0.1 * (1 + 0.9 + 0.81), rel=1e-5)


def test_the_cosine_schedule_ends_at_nothing():
    protocol = Protocol(optimizer="sgd", learning_rate=0.1, schedule="cosine")
    optimizer = optimizers.make_optimizer(protocol, steps=10)
    weight, rates = keras.Variable(np.zeros(1, np.float32)), []
    for _ in range(10):
        rates.append(float(optimizer.learning_rate))
        optimizer.apply([np.ones(1, np.float32)], [weight])
    np.testing.assert_allclose(rates, 0.05 * (1 + np.cos(np.pi * np.arange(10) / 10)), rtol=1e-5)
    assert float(optimizer.learning_rate) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", ["adam", "rmsprop", "sgd"])
def test_a_share_of_the_learning_rate_makes_that_share_of_a_step(name):
    protocol = Protocol(optimizer=name, learning_rate=0.1)
    first, second, plain = (keras.Variable(np.zeros(3, np.float32)) for _ in range(3))
    gradient = np.array([0.5, -2.0, 0.1], np.float32)
    shared = optimizers.make_optimizer(protocol, shares=[1.0, 0.25])
    usual = optimizers.make_optimizer(protocol)
    for _ in range(3):
        shared.apply([gradient, gradient], [first, second])
        usual.apply([gradient], [plain])
    np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(v) for v in (first, plain)))
    np.testing.assert_allclose(*(keras.ops.convert_to_numpy(v) for v in (second, 0.25 * plain)), rtol=1e-6)
    assert np.abs(keras.ops.convert_to_numpy(plain)).min() > 0.01


def rates(steps: int = 20, warm_steps: int = 0, **fields) -> np.ndarray:
    """The learning rate of each step, and after the last."""
    optimizer = optimizers.make_optimizer(Protocol(learning_rate=0.1, **fields), steps, warm_steps)
    rate = optimizer._learning_rate
    return np.array([float(rate(step) if callable(rate) else rate) for step in range(steps + 1)])


FALLING = {
    "constant": lambda done: np.ones_like(done),
    "cosine": lambda done: 0.5 * (1 + np.cos(np.pi * done)),
    "linear": lambda done: 1 - done,
}


@pytest.mark.parametrize("schedule", FALLING)
def test_a_schedule_falls_over_all_its_steps(schedule):
    found = rates(schedule=schedule)
    np.testing.assert_allclose(found, 0.1 * FALLING[schedule](np.arange(21) / 20), atol=1e-8)


@pytest.mark.parametrize("schedule", FALLING)
def test_the_rate_rises_evenly_from_nothing_then_the_schedule_begins(schedule):
    found = rates(warm_steps=4, schedule=schedule)
    np.testing.assert_allclose(found[:4], 0.1 * np.arange(1, 5) / 5, rtol=1e-5)
    np.testing.assert_allclose(found[4:], 0.1 * FALLING[schedule](np.arange(17) / 16), atol=1e-8)
    assert found[4] == pytest.approx(0.1, rel=1e-6) == found.max()


def test_old_keras_decay_begins_after_the_rise():
    found = rates(warm_steps=4, decay=0.5)
    np.testing.assert_allclose(found[:4], 0.1 * np.arange(1, 5) / 5, rtol=1e-5)
    np.testing.assert_allclose(found[4:], 0.1 / (1 + 0.5 * np.arange(17)), rtol=1e-5)


def test_a_rise_as_long_as_the_training_is_all_of_it():
    found = rates(steps=4, warm_steps=4, schedule="cosine")
    np.testing.assert_allclose(found[:4], 0.1 * np.arange(1, 5) / 5, rtol=1e-5)


def test_steps_are_taken_at_the_warm_rate():
    protocol = Protocol(optimizer="sgd", learning_rate=0.1, schedule="linear", warmup_epochs=1)
    optimizer, weight = optimizers.make_optimizer(protocol, 6, 2), keras.Variable(np.zeros(1, np.float32))
    for _ in range(6):
        optimizer.apply([np.ones(1, np.float32)], [weight])
    expected = 0.1 * (1 / 3 + 2 / 3 + 1 + 0.75 + 0.5 + 0.25)
    assert float(weight[0]) == pytest.approx(-expected, rel=1e-5)


def test_nesterov_looks_a_step_ahead():
    ends = {}
    for nesterov in (False, True):
        protocol = Protocol(optimizer="sgd", learning_rate=0.1, momentum=0.9, nesterov=nesterov)
        optimizer, weight = optimizers.make_optimizer(protocol), keras.Variable(np.zeros(1, np.float32))
        velocity = expected = 0.0
        for gradient in (1.0, -0.5, 0.25):
            optimizer.apply([np.array([gradient], np.float32)], [weight])
            velocity = 0.9 * velocity - 0.1 * gradient
            expected += 0.9 * velocity - 0.1 * gradient if nesterov else velocity
        ends[nesterov] = float(weight[0])
        assert ends[nesterov] == pytest.approx(expected, rel=1e-5)
    assert ends[False] != ends[True]


def variables(*shapes, name: str = "kernel") -> list[keras.Variable]:
    rng = np.random.default_rng(0)
    return [keras.Variable(rng.normal(size=shape).astype(np.float32), name=name) for shape in shapes]


def step_of(optimizer, variable) -> np.ndarray:
    """How far one step goes, with a gradient whose singular values lie far from one another."""
    before = keras.ops.convert_to_numpy(variable).copy()
    rng, columns = np.random.default_rng(1), variable.shape[-1]
    gradient = rng.normal(size=variable.shape) * np.logspace(0, -1, columns)
    optimizer.apply([gradient.astype(np.float32)], [variable])
    return keras.ops.convert_to_numpy(variable) - before


@pytest.mark.parametrize("shape", [(3, 3, 8, 16), (1, 1, 16, 8), (3, 3, 1, 16), (40, 12), (12, 40)])
def test_muon_moves_a_kernel_evenly_in_all_directions_of_its_filters_matrix(shape):
    (kernel,) = variables(shape)
    optimizer = optimizers.make_optimizer(Protocol(optimizer="muon", learning_rate=0.01))
    step = step_of(optimizer, kernel).reshape(-1, shape[-1])
    values = np.linalg.svd(step, compute_uv=False)
    longest = max(step.shape)
    scaled = values / (0.01 * 0.2 * longest**0.5)
    assert scaled.min() > 0.5 and scaled.max() < 1.5


def test_muon_moves_against_the_gradient():
    (kernel,) = variables((3, 3, 8, 16))
    optimizer = optimizers.make_optimizer(Protocol(optimizer="muon", learning_rate=0.01))
    gradient = np.random.default_rng(1).normal(size=kernel.shape) * np.logspace(0, -1, 16)
    assert (step_of(optimizer, kernel) * gradient).sum() < 0


def test_muon_leaves_the_last_layer_biases_and_normalisation_to_adam():
    layers = [keras.Input((6,)), keras.layers.Dense(5, name="dense"), keras.layers.BatchNormalization()]
    network = keras.Sequential([*layers, keras.layers.Dense(7, name="logits")])
    others = {}
    rng = np.random.default_rng(1)
    gradients = [rng.normal(size=v.shape).astype(np.float32) for v in network.trainable_variables]
    start = network.get_weights()
    for name in ("muon", "adam"):
        network.set_weights(start)
        before = [keras.ops.convert_to_numpy(v).copy() for v in network.trainable_variables]
        optimizer = optimizers.make_optimizer(Protocol(optimizer=name, learning_rate=0.01))
        optimizer.apply(gradients, network.trainable_variables)
        after = [keras.ops.convert_to_numpy(v) for v in network.trainable_variables]
        others[name] = [one - other for one, other in zip(after, before)]
    paths = ["/".join(v.path.split("/")[-2:]) for v in network.trainable_variables]
    alike = [np.allclose(one, other, atol=1e-6) for one, other in zip(others["muon"], others["adam"])]
    assert [path for path, same in zip(paths, alike) if not same] == ["dense/kernel"]


@pytest.mark.parametrize("name", ["kernel", "bias", "logits"])
def test_muon_takes_weight_decay_off_once_whatever_moves_the_weight(name):
    shape = (5,) if name == "bias" else (4, 5)
    (weight,) = variables(shape, name=name)
    start = keras.ops.convert_to_numpy(weight).copy()
    optimizer = optimizers.make_optimizer(Protocol(optimizer="muon", learning_rate=0.1, weight_decay=0.5))
    for _ in range(3):
        optimizer.apply([np.zeros(shape, np.float32)], [weight])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), start * 0.95**3, rtol=1e-5)
    free = optimizers.make_optimizer(Protocol(optimizer="muon"))
    assert free.weight_decay is None and free.adam_weight_decay is None


@pytest.mark.parametrize("name", ["adam", "rmsprop", "sgd", "muon"])
def test_the_average_of_the_weights_is_taken_over_its_steps_and_moves_none_of_them(name):
    fields = {"optimizer": name, "learning_rate": 0.1}
    plain, averaging = (optimizers.make_optimizer(Protocol(**fields, ema=ema)) for ema in (0.0, 0.75))
    gradients = np.random.default_rng(2).normal(size=(5, 3, 4)).astype(np.float32)
    weights = [variables((3, 4))[0] for _ in range(2)]
    seen = []
    for gradient in gradients:
        for optimizer, weight in zip((plain, averaging), weights):
            optimizer.apply([gradient], [weight])
        averaging.finalize_variable_values([weights[1]])  # as ``fit`` does after each epoch
        np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(weight) for weight in weights))
        seen.append(keras.ops.convert_to_numpy(weights[0]).copy())
    average = seen[0]
    for value in seen[1:]:
        average = 0.75 * average + 0.25 * value
    averaging.average([weights[1]])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weights[1]), average, rtol=1e-5, atol=1e-6)
    assert not hasattr(plain, "average")


def test_shares_of_the_rate_and_the_average_go_together():
    first, second = variables((3,), (3,))
    start = [keras.ops.convert_to_numpy(v).copy() for v in (first, second)]
    protocol = Protocol(optimizer="sgd", learning_rate=0.1, ema=0.5)
    optimizer = optimizers.make_optimizer(protocol, shares=[1.0, 0.25])
    for _ in range(2):
        optimizer.apply([np.ones(3, np.float32)] * 2, [first, second])
    optimizer.average([first, second])
    moved = [keras.ops.convert_to_numpy(v) - before for v, before in zip((first, second), start)]
    np.testing.assert_allclose(moved, [[-0.15] * 3, [-0.0375] * 3], rtol=1e-4)
