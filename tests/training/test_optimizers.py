"""Optimisers: decay, weight decay, momentum, schedule, shares of the rate. Runs under every Keras backend."""

import keras
import numpy as np
import pytest

from fer_lib.training import optimizers
from fer_lib.training.protocol import Protocol


def test_decay_is_old_keras_per_step_decay():
    optimizer = optimizers.make_optimizer(Protocol(learning_rate=1e-4, decay=1e-5))
    for step in (0, 1, 4500):
        assert float(optimizer._learning_rate(step)) == pytest.approx(1e-4 / (1 + 1e-5 * step), rel=1e-5)


@pytest.mark.parametrize("name", ["adam", "rmsprop", "sgd"])
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
