"""The decision tree and its parameters."""

import pytest

from fer_lib.training import tree


def fitted(faces, **others):
    return tree.fit(*tree.split(faces, False, 0), min_samples_split=2, seed=0, **others)[0]


def test_defaults_are_scikit_learns(few_faces):
    plain = fitted(few_faces)
    written_out = fitted(few_faces, max_depth=0, min_samples_leaf=1, max_features=1.0, criterion="gini")
    assert (plain.tree_.feature == written_out.tree_.feature).all()
    assert (plain.tree_.threshold == written_out.tree_.threshold).all()
    assert plain.get_params()["max_depth"] is None


@pytest.mark.parametrize("others", [{"max_depth": 1}, {"min_samples_leaf": 12}, {"max_features": 0.0005}])
def test_each_parameter_makes_another_tree(few_faces, others):
    plain, other = fitted(few_faces), fitted(few_faces, **others)
    assert plain.tree_.feature.tolist() != other.tree_.feature.tolist()
    if "max_depth" in others:
        assert other.get_depth() == 1


def test_a_tree_without_an_emotion_to_learn_is_refused(few_faces):
    few = few_faces.select(few_faces.labels != 3)
    with pytest.raises(ValueError, match="no training row is happy; expected every emotion; use more rows"):
        fitted(few)
