"""One network for each fold: nobody is predicted by a network that has seen them."""

from dataclasses import replace

import numpy as np
import pytest

from fer_lib.data import Faces, array_hash, ckplus
from fer_lib.training import loop
from fer_lib.training.protocol import Protocol

ONE = Protocol(model="feedforward", epochs=2, batch_size=16, kept_epoch="last", views="flip")
THREE = replace(ONE, folds=3)


@pytest.fixture(scope="module")
def known_people() -> Faces:
    """Seven people, each with all seven emotions twice, brighter from one emotion to the next."""
    rng, n = np.random.default_rng(0), 98
    labels = (np.arange(n) % 7).astype(np.uint8)
    images = (rng.integers(0, 80, (n, 48, 48)) + 25 * labels[:, None, None]).astype(np.uint8)
    people = (np.arange(n) // 14).astype(np.int32)
    split, ids = np.zeros(n, np.uint8), np.arange(n, dtype=np.int32)
    return Faces(
        images, labels, split, ids, "people", array_hash(images, labels, split), {"file": "made up"}, people=people
    )


@pytest.fixture(scope="module")
def unbroken(known_people):
    return loop.train(known_people, THREE, seed=1, progress=lambda line: None)


def test_each_face_has_the_logits_of_the_network_that_has_not_seen_its_person(known_people, unbroken):
    found, tested = unbroken
    assert list(found.logits) == ["last", "views"]  # in every call: a record is the same, byte for byte
    assert (tested.split == 2).all()
    assert len(tested) == len(known_people)
    for fold in range(3):
        alone, evaluated = loop.train(ckplus.folded(known_people, fold, 3), ONE, seed=1, progress=lambda line: None)
        own = evaluated.split == 2
        assert set(known_people.people[evaluated.ids[own]]) == {person for person in range(7) if person % 3 == fold}
        for name in ("last", "views"):
            np.testing.assert_array_equal(found.logits[name][evaluated.ids[own]], alone.logits[name][own])
    assert [entry["epoch"] for entry in found.history] == [1, 2]


def test_folds_that_were_broken_off_go_on_where_they_stopped(known_people, unbroken, tmp_path):
    def broken(line):
        if line.startswith("fold 2/3  epoch   2/2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.train(known_people, THREE, 1, tmp_path, broken)
    told = []
    again, _ = loop.train(known_people, THREE, 1, tmp_path, told.append)
    assert "fold 1/3  continuing after epoch 2" in told
    assert "fold 2/3  continuing after epoch 1" in told
    for name in ("last", "views"):
        np.testing.assert_array_equal(again.logits[name], unbroken[0].logits[name])


@pytest.mark.parametrize(
    "fields",
    [{"folds": 2}, {"kept_epoch": "best"}, {"milestone": 1}, {"test_rows": 9}, {"keep_network": True}, {"folds": -1}],
)
def test_what_folds_cannot_do_is_refused(fields):
    with pytest.raises(ValueError, match="folds: found"):
        replace(ONE, **{"views": "none", "folds": 10} | fields)


def test_faces_without_people_cannot_be_folded(known_people):
    with pytest.raises(ValueError, match="persons are not known"):
        loop.train(replace(known_people, people=None), THREE, 1, progress=lambda line: None)
