"""Emotions of clips by a recurrent network over the features of their frames. Runs under every Keras backend."""

import keras
import numpy as np
import pytest

from fer_lib import models
from fer_lib.training import augmentation, clips


@pytest.fixture(scope="module")
def single():
    keras.utils.set_random_seed(0)
    return augmentation.augmented(models.build("kahou", {"features": 16}), "flip")


FRAMES = np.random.default_rng(0).integers(0, 255, (5, 4, 48, 48)).astype(np.uint8)


def test_features_are_what_the_layer_before_the_last_dropout_gives(single):
    found = clips.features(single, FRAMES)
    assert found.shape == (5, 4, 16)
    network = single.layers[-1]
    logits = network.layers[-1]
    kernel, bias = (keras.ops.convert_to_numpy(weight) for weight in logits.weights)
    expected = clips.each_standardised(FRAMES.reshape(20, 48, 48))
    predicted = network.predict(expected, verbose=0).reshape(5, 4, 7)
    np.testing.assert_allclose(found @ kernel + bias, predicted, rtol=1e-3, atol=1e-4)
    averaged = clips.averaged_probabilities(single, FRAMES)
    softmax = np.exp(predicted) / np.exp(predicted).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(averaged, softmax.mean(axis=1), rtol=1e-3, atol=1e-5)


def rising(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sequences that tell their label by when a number rises, which no mean over time does: features, labels, split."""
    rng, labels = np.random.default_rng(1), np.arange(n) % 3
    found = rng.normal(0, 0.1, (n, 6, 4)).astype(np.float32)
    for row, label in enumerate(labels):
        found[row, 2 * label, 0] += 3
        found[row, :, 1] += np.linspace(0, 1, 6)
    return found, labels, np.repeat([0, 1, 2], [n - 60, 30, 30])


def trained(seed: int = 0, **more):
    found, labels, split = rising(210)
    settings = {"units": 32, "epochs": 30, "learning_rate": 3e-3, "batch_size": 16, "seed": seed} | more
    return clips.train(found, labels, split, **settings)[1:]


def test_the_recurrent_network_learns_an_order_in_time():
    logits, history = trained()
    assert logits.shape == (210, 7)
    assert [entry["epoch"] for entry in history] == list(range(1, 31))
    assert history[-1]["PrivateTest_accuracy"] > 0.8
    sets = ("PublicTest", "PrivateTest", "PublicTest+PrivateTest")  # what pages read of any history
    assert {f"{name}_{what}" for name in sets for what in ("loss", "accuracy")} < history[0].keys()
    assert history[-1]["loss"] < history[0]["loss"]
    labels = rising(210)[1]
    assert (logits.argmax(axis=1) == labels)[180:].mean() == pytest.approx(history[-1]["PrivateTest_accuracy"])


ONCE = {"units": 8, "epochs": 1, "learning_rate": 1e-3, "batch_size": 16, "seed": 0}


def test_a_feature_that_never_moved_in_training_decides_nothing():
    found, labels, split = rising(210)
    found[:, :, 3] = 0
    quiet = clips.train(found, labels, split, **ONCE)[1]
    found[split == 2, :, 3] = 0.1
    loud = clips.train(found, labels, split, **ONCE)[1]
    assert np.abs(loud[split == 2]).max() < 2 * np.abs(quiet).max() + 1


def test_the_same_seed_gives_the_same_predictions_whatever_was_trained_before():
    first = trained(3, epochs=2)[0]
    keras.layers.Dense(5).build((3, 4))  # samples from the engine's random numbers
    again, other = trained(3, epochs=2)[0], trained(4, epochs=2)[0]
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_features_that_are_no_numbers_are_refused():
    found, labels, split = rising(210)
    found[0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="features: found 1 of 210"):
        clips.train(found, labels, split, **ONCE)
