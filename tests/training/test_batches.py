"""What a training is shown: rows, scale, order, targets."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


MIXUP, CUTMIX = Protocol(mixing="mixup"), Protocol(mixing="cutmix")
EACH = st.tuples(st.floats(0.05, 20), st.integers(0, 10**6), st.integers(1, 500))
"""alpha, seed, epoch"""


def three(count: int = 12) -> tuple[np.ndarray, ...]:
    """Images, targets and weights of so many rows, of which no two are alike."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 48, 48), np.uint8)
    return images, np.eye(count, dtype=np.float32), np.arange(count, dtype=np.float32)


def test_nothing_is_mixed_unless_it_is_asked_for():
    assert batches.epoch_mixing(np.arange(5), 48, Protocol(), 0, 1) == ()
    images, targets, weights = three()
    found = batches.shown((images, targets, weights), np.array([3, 1]))
    for own, array in zip(found, (images, targets, weights)):
        np.testing.assert_array_equal(own, array[[3, 1]])
        assert own.dtype == array.dtype


def test_mixup_is_the_weighted_mean_of_two_pictures_and_of_their_labels():
    """A quarter of the second, by hand."""
    images = np.stack([np.full((48, 48), 100, np.uint8), np.full((48, 48), 20, np.uint8)])
    targets = np.eye(2, dtype=np.float32)
    patches = np.array([[0.25, 0, 48, 0, 48, 0.25]], np.float32)
    shown, label = batches.shown((images, targets), np.array([0]), np.array([1]), patches)
    np.testing.assert_allclose(shown, np.full((1, 48, 48), 80))
    np.testing.assert_allclose(label, [[0.75, 0.25]])


def mixed(protocol: Protocol, alpha: float, seed: int, epoch: int):
    """The rows of ``three``, their order, partners and patches, and what is shown of them."""
    arrays, order = three(), np.random.default_rng(seed).permutation(12)
    partners, patches = batches.epoch_mixing(order, 48, replace(protocol, mixing_alpha=alpha), seed, epoch)
    return arrays, order, partners, patches, batches.shown(arrays, order, partners, patches)


@given(EACH)
def test_mixup_takes_of_picture_and_label_the_same_share(key):
    arrays, order, partners, patches, (shown, targets, weights) = mixed(MIXUP, *key)
    share = patches[:, 0]
    assert ((share >= 0) & (share <= 1)).all()
    images = arrays[0].astype(np.float64)
    pictures = (1 - share)[:, None, None] * images[order] + share[:, None, None] * images[partners]
    np.testing.assert_allclose(shown, pictures, atol=1e-2)
    expected = np.zeros((12, 12))
    for row, (own, partner) in enumerate(zip(order, partners)):
        expected[row, own] += 1 - share[row]
        expected[row, partner] += share[row]
    np.testing.assert_allclose(targets, expected, atol=1e-6)
    np.testing.assert_array_equal(weights, arrays[2][order])
    assert shown.dtype == targets.dtype == np.float32


@given(EACH)
def test_cutmix_shows_the_partners_pixels_in_one_rectangle_and_its_share_of_them_in_the_label(key):
    arrays, order, partners, patches, (shown, targets, _) = mixed(CUTMIX, *key)
    for row, (own, partner) in enumerate(zip(order, partners)):
        top, bottom, left, right = patches[row, 1:5].astype(int)
        assert 0 <= top <= bottom <= 48 and 0 <= left <= right <= 48
        expected = arrays[0][own].copy()
        expected[top:bottom, left:right] = arrays[0][partner][top:bottom, left:right]
        np.testing.assert_array_equal(shown[row], expected)
        share = (bottom - top) * (right - left) / 48**2
        label = (1 - share) * arrays[1][own] + share * arrays[1][partner]
        np.testing.assert_allclose(targets[row], label, atol=1e-6)


def test_cutmix_patches_are_squares_of_the_shares_area_where_they_lie_inside():
    patches = batches.epoch_mixing(np.arange(4000), 48, CUTMIX, 0, 1)[1]
    top, bottom, left, right = patches[:, 1:5].T
    inside = (top > 0) & (left > 0) & (bottom < 48) & (right < 48)
    assert inside.sum() > 400
    assert np.abs((bottom - top) - (right - left))[inside].max() <= 1
    assert not inside.all()
    assert 0.4 < ((bottom + top) / 2 < 24).mean() < 0.6


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_shares_follow_beta_of_alpha_and_alpha(alpha):
    share = batches.epoch_mixing(np.arange(4000), 48, replace(MIXUP, mixing_alpha=alpha), 0, 1)[1][:, 0]
    assert share.mean() == pytest.approx(0.5, abs=0.02)
    assert share.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


@pytest.mark.parametrize("protocol", [MIXUP, CUTMIX])
def test_partners_are_the_order_shuffled_and_follow_from_seed_and_epoch(protocol):
    order = batches.epoch_order(UNEVEN, "balanced", 0, 1)
    first, again, other_epoch, other_seed = (
        batches.epoch_mixing(order, 48, protocol, *key) for key in ((0, 1), (0, 1), (0, 2), (1, 1))
    )
    for one, same, *others in zip(first, again, other_epoch, other_seed):
        np.testing.assert_array_equal(one, same)
        assert all((one != other).any() for other in others)
    np.testing.assert_array_equal(np.sort(first[0]), np.sort(order))
    assert (first[0] != order).mean() > 0.9
    assert first[1].shape == (len(order), 6) and first[1].dtype == np.float32


@pytest.mark.parametrize("protocol", [MIXUP, CUTMIX])
def test_batches_show_each_row_with_its_own_partner(protocol):
    arrays, order = three(), np.random.default_rng(3).permutation(12)
    mixing = batches.epoch_mixing(order, 48, protocol, 0, 1)
    found = batches.Batches(*arrays, batches.scaler(arrays[0], "0..255"), 5, order, mixing)
    assert len(found) == 3
    parts = [found[index] for index in range(3)]
    assert [len(part[0]) for part in parts] == [5, 5, 2]
    whole = batches.shown(arrays, order, *mixing)
    for number, array in enumerate(whole):
        together = np.concatenate([part[number] for part in parts])
        np.testing.assert_array_equal(together, array[..., None] if number == 0 else array)


@pytest.mark.parametrize("protocol", [MIXUP, CUTMIX])
def test_jax_shows_what_numpy_shows(protocol):
    jax = pytest.importorskip("jax")
    arrays, order = three(), np.random.default_rng(3).permutation(12)
    mixing = batches.epoch_mixing(order, 48, protocol, 0, 1)
    on_jax = jax.jit(batches.shown)(tuple(map(jax.numpy.asarray, arrays)), order, *mixing)
    for one, other in zip(batches.shown(arrays, order, *mixing), on_jax):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-4)
        assert one.dtype == other.dtype


def test_labels_become_targets_where_they_are_mixed(few_faces, tagged_faces):
    codes = batches.epoch_targets(few_faces, Protocol(), 0, 1)
    np.testing.assert_array_equal(batches.epoch_targets(few_faces, MIXUP, 0, 1), np.eye(7, dtype=np.float32)[codes])
    assert batches.epoch_targets(few_faces, CUTMIX, 0, 1).dtype == np.float32
    np.testing.assert_array_equal(batches.epoch_targets(tagged_faces, MIXUP, 0, 1), tagged_faces.targets)
    sampled = batches.epoch_targets(tagged_faces, Protocol(targets="drawn"), 0, 1)
    of_them = batches.epoch_targets(tagged_faces, replace(MIXUP, targets="drawn"), 0, 1)
    np.testing.assert_array_equal(of_them, np.eye(8, dtype=np.float32)[sampled])
