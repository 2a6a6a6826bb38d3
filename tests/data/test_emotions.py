"""Labels of one data set as those of another: by name alone, and refused where there is no counterpart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_lib.data import emotions
from fer_lib.data.emotions import AFFECTNET, ALPHABETICAL, EIGHT, FER2013, FERPLUS, mapping


def test_the_mappings_between_the_data_sets_are_these():
    assert mapping(AFFECTNET[:7], FER2013).tolist() == [6, 3, 4, 5, 2, 1, 0]
    assert mapping(AFFECTNET[:8], EIGHT).tolist() == [6, 3, 4, 5, 2, 1, 0, 7]
    assert mapping(FERPLUS[:7], FER2013).tolist() == [6, 3, 5, 4, 0, 1, 2]
    assert mapping(FER2013, AFFECTNET).tolist() == [6, 5, 4, 1, 2, 3, 0]
    assert mapping(AFFECTNET, FER2013, AFFECTNET[7:]).tolist() == [6, 3, 4, 5, 2, 1, 0, -1, -1, -1, -1]
    assert sorted(mapping(ALPHABETICAL, EIGHT)) == list(range(8))
    assert (mapping(FERPLUS, AFFECTNET, ("unknown",)) == [0, 1, 3, 2, 6, 5, 4, 7, -1, 10]).all()


@pytest.mark.parametrize(
    ("source", "target", "named"),
    [
        (AFFECTNET[:8], FER2013, "contempt"),
        (AFFECTNET, EIGHT, "none, uncertain, no face"),
        (FERPLUS, EIGHT, "unknown, no face"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(source, target, named):
    with pytest.raises(ValueError, match=f"labels: found {named}, which have no counterpart among angry"):
        mapping(source, target)


def test_only_what_is_there_can_be_left_out():
    with pytest.raises(ValueError, match="leave out: found 'contempt', expected one of angry"):
        mapping(FER2013, FER2013, ("contempt",))


@settings(deadline=None)
@given(st.sampled_from(sorted(emotions.LABEL_SETS)), st.sampled_from(sorted(emotions.LABEL_SETS)))
def test_there_and_back_is_where_one_was(one, other):
    one, other = emotions.LABEL_SETS[one], emotions.LABEL_SETS[other]
    if len(one) > len(other):
        one, other = other, one
    back = mapping(other, one, _only(other, one))
    np.testing.assert_array_equal(back[mapping(one, other)], np.arange(len(one)))


def _only(names, known):
    plain = {emotions.SYNONYMS.get(name, name) for name in known}
    return tuple(name for name in names if emotions.SYNONYMS.get(name, name) not in plain)
