"""The mood of a group: faces, the whole picture, and their vote. Runs under every Keras backend."""

import numpy as np
import pytest

from fer_lib.data import Faces
from fer_lib.training import groups
from fer_lib.training.protocol import Protocol

MOODS = ("positive", "neutral", "negative")
SMALL = Protocol(
    model="small_vgg", model_options={"width": 4, "classes": 3}, epochs=1, batch_size=32, kept_epoch="last",
    input_scale="each standardised",
)  # fmt: skip


@pytest.fixture(scope="module")
def seen():
    """90 pictures whose whole says nothing, each with two faces whose stripes say their mood, but the last has none."""
    rng, n = np.random.default_rng(0), 90
    labels = (np.arange(n) % 3).astype(np.uint8)
    images = rng.integers(0, 255, (n, 48, 48)).astype(np.uint8)
    split = np.repeat([0, 1, 2], [60, 15, 15]).astype(np.uint8)
    scenes = Faces(images, labels, split, np.arange(n, dtype=np.int32), "groups", "0" * 64, {}, MOODS)
    owner = np.repeat(np.arange(n - 1), 2).astype(np.int32)
    faces = rng.integers(0, 60, (len(owner), 48, 48))
    for row, picture in enumerate(owner):
        period = 4 * (labels[picture] + 1)
        faces[row] += np.where(np.arange(48) % period < period / 2, 150, 0)
    return scenes, faces.astype(np.uint8), owner


@pytest.fixture(scope="module")
def unbroken(seen):
    return groups.train(*seen, SMALL, seed=0)


def test_faces_are_averaged_and_a_picture_without_one_has_the_wholes_vote(unbroken):
    votes, tested, weights, training = unbroken
    assert list(tested.ids) == list(range(60, 90))
    assert weights.sum() == pytest.approx(1)
    assert all(votes[name].shape == (30, 3) for name in ("faces", "scene", "vote"))
    np.testing.assert_allclose(votes["vote"].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(votes["faces"][-1], votes["scene"][-1])
    expected = weights[0] * votes["faces"] + weights[1] * votes["scene"]
    np.testing.assert_allclose(votes["vote"], expected, rtol=1e-5)
    assert len(training.history) == 1


def test_it_goes_on_where_it_was_stopped(seen, unbroken, tmp_path, monkeypatch):
    scenes, faces, owner = seen
    begun = groups.loop.train

    def broken(shown, *rest):
        if shown is scenes:
            raise KeyboardInterrupt
        return begun(shown, *rest)

    monkeypatch.setattr(groups.loop, "train", broken)
    with pytest.raises(KeyboardInterrupt):
        groups.train(scenes, faces, owner, SMALL, 0, tmp_path)
    monkeypatch.setattr(groups.loop, "train", begun)
    again = groups.train(scenes, faces, owner, SMALL, 0, tmp_path)[0]
    for name, whole in unbroken[0].items():
        np.testing.assert_array_equal(again[name], whole)
