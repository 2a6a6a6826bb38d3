"""Some damaged files for every reader; ``make mutate`` tries more of them, for as long as one likes."""

import mutations
import pytest

COUNT = 20


MARKED = [pytest.param(name, marks=[pytest.mark.slow] * (name in mutations.SLOW)) for name in mutations.READERS]


@pytest.mark.parametrize("name", MARKED)
def test_a_damaged_file_is_read_or_refused_in_the_usual_form(name, tmp_path):
    result = mutations.trial(name, tmp_path, seed=18, count=COUNT)
    assert result["wrong"] == {}
    assert result["read"] + result["refused"] == COUNT
