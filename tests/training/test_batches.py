"""What a training is shown: rows, scale, order, targets."""

from dataclasses import replace

import numpy as np
import pytest

from fer_lib.training import batches
from fer_lib.training.protocol import WITHOUT_NEAR, WITHOUT_TWINS, Protocol

SMALL = Protocol(model="feedforward", epochs=3, batch_size=16, learning_rate=1e-4)


def test_input_scales(few_faces):
    images = few_faces.images
    assert batches.scaler(images, "0..255")(images).max() == images.max()
    assert batches.scaler(images, "0..1")(images).max() == pytest.approx(images.max() / 255)
    each = batches.scaler(images, "each standardised")
    even = images // 2 * 2
    np.testing.assert_allclose(each(even // 2 + 20), each(even), atol=0.1)  # half the contrast, and brighter
    np.testing.assert_allclose(each(images).mean(axis=(1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(each(images).std(axis=(1, 2, 3)), 1, atol=0.02)
    assert (each(np.full((1, 48, 48), 7, np.uint8)) == 0).all()
    standard = batches.scaler(images, "standardised")(images)
    assert standard.shape == (70, 48, 48, 1)
    assert standard.mean() == pytest.approx(0, abs=1e-3)
    assert standard.std() == pytest.approx(1, abs=1e-3)


def test_a_subset_of_training_rows_is_the_same_for_all_seeds(few_faces):
    rows = batches.training_rows(few_faces, replace(SMALL, rows=20))
    assert len(rows) == 20
    assert (few_faces.split[rows] == 0).all()
    with pytest.raises(ValueError, match="rows: found 99, but Training of drawn_faces has 42"):
        batches.training_rows(few_faces, replace(SMALL, rows=99))


def test_rows_whose_image_a_test_set_shows_can_be_left_out(few_faces):
    images = few_faces.images.copy()
    images[[3, 7]] = images[50]  # of PublicTest
    images[60] = images[11]  # of PrivateTest
    images[13] = images[12]  # both of Training
    faces = replace(few_faces, images=images)
    rows = batches.training_rows(faces, replace(SMALL, train_rows=WITHOUT_TWINS))
    assert sorted(set(range(42)) - set(rows)) == [3, 7, 11]
    with pytest.raises(ValueError, match="rows: found 40, but Training without twins of drawn_faces has 39"):
        batches.training_rows(faces, replace(SMALL, train_rows=WITHOUT_TWINS, rows=40))


def test_rows_that_show_a_test_row_nearly_can_be_left_out_with_them(few_faces):
    images = few_faces.images.copy()
    images[[3, 50]] = np.random.default_rng(1).integers(0, 256, (48, 48))  # twins
    images[7] = np.random.default_rng(2).integers(0, 256, (48, 48))
    images[60] = np.roll(images[7], 2, axis=1)
    rows = batches.training_rows(replace(few_faces, images=images), replace(SMALL, train_rows=WITHOUT_NEAR))
    assert sorted(set(range(42)) - set(rows)) == [3, 7]


def test_an_emotion_can_have_fewer_rows(few_faces):
    everything = batches.training_rows(few_faces, SMALL)
    rows = batches.training_rows(few_faces, replace(SMALL, at_most={"happy": 2, "disgust": 5}))
    assert (np.diff(rows) > 0).all() and set(rows) < set(everything)
    assert np.bincount(few_faces.labels[rows]).tolist() == [6, 5, 6, 2, 6, 6, 6]
    other_order = replace(SMALL, at_most={"disgust": 5, "happy": 2})
    np.testing.assert_array_equal(rows, batches.training_rows(few_faces, other_order))
    with pytest.raises(ValueError, match="at_most happy: found 7, but happy rows of Training of drawn_faces has 6"):
        batches.training_rows(few_faces, replace(SMALL, at_most={"happy": 7}))


UNEVEN = np.repeat(np.arange(7, dtype=np.uint8), (500, 10, 200, 900, 300, 100, 400))


def test_shuffled_epochs_show_each_row_once():
    order = batches.epoch_order(UNEVEN, "shuffled", 0, 1)
    assert sorted(order) == list(range(len(UNEVEN)))
    assert (order != batches.epoch_order(UNEVEN, "shuffled", 0, 2)).any()
    assert (order != batches.epoch_order(UNEVEN, "shuffled", 1, 1)).any()


def test_balanced_sampling_shows_each_emotion_as_often():
    order = batches.epoch_order(UNEVEN, "balanced", 0, 1)
    assert len(order) == len(UNEVEN)
    shown = np.bincount(UNEVEN[order], minlength=7)
    assert shown.min() > 0.8 * len(UNEVEN) / 7
    assert shown.max() < 1.2 * len(UNEVEN) / 7


def test_labels_are_sampled_by_their_shares_and_anew_for_each_epoch(tagged_faces):
    faces, sampled = tagged_faces, Protocol(targets="drawn")
    first, again, second = (batches.epoch_targets(faces, sampled, 1, epoch) for epoch in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.int32 and (first != second).any()
    assert ((first == faces.labels) | (first == faces.labels + 1)).all()
    many = np.mean([batches.epoch_targets(faces, sampled, 1, epoch) == faces.labels for epoch in range(100)])
    assert many == pytest.approx(0.6, abs=0.02)
    np.testing.assert_array_equal(batches.epoch_targets(faces, Protocol(), 1, 1), faces.targets)


def test_sampling_follows_the_distribution_and_the_seed():
    distribution = np.tile(np.eye(8)[0] * 0.6 + np.eye(8)[2] * 0.4, (4000, 1))
    found = batches.sampled_targets(distribution, np.random.default_rng(0))
    shares = np.bincount(found, minlength=8) / 4000
    assert abs(shares[0] - 0.6) < 0.03 and shares[[0, 2]].sum() == 1
    np.testing.assert_array_equal(found, batches.sampled_targets(distribution, np.random.default_rng(0)))
    assert (found != batches.sampled_targets(distribution, np.random.default_rng(1))).any()
