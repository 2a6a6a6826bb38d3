"""Random changes of training faces. Runs under every Keras backend."""

import keras
import numpy as np
import pytest

from fer_lib.training import augmentation


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
