"""GAF: its layout as the challenge gave it out, its parts, and what is refused."""

import re
from collections import Counter

import numpy as np
import pytest

from fer_lib import paths
from fer_lib.data import afew, drawn_scenes, gaf
from fer_lib.files import pictures


@pytest.fixture(autouse=True)
def _no_gaf(monkeypatch):
    monkeypatch.delenv("GAF", raising=False)


@pytest.fixture
def tree(tmp_path):
    """A tree of 60 training and 20 validation pictures of each emotion, which are empty: none is opened here."""
    for part, count in {"Train": 60, "Validation": 20}.items():
        for name in ("Positive", "Neutral", "Negative"):
            (tmp_path / "gaf" / part / name).mkdir(parents=True)
            for number in range(count):
                (tmp_path / "gaf" / part / name / f"{name[:3].lower()}_{number}.jpg").touch()
    return tmp_path / "gaf"


def test_the_whole_layout_is_read_with_its_labels_and_parts(tree):
    found = gaf.pictures(tree)
    assert len(found) == 3 * 80 and gaf.EMOTIONS == ("positive", "neutral", "negative")
    assert all(gaf.EMOTIONS[each.label] == each.path.parent.name.lower() for each in found)
    assert found == sorted(found, key=lambda each: (each.split, each.label, each.path.name))
    assert all((each.split == 2) == ("Validation" in each.path.parts) for each in found)
    chosen = [each for each in found if each.split == 1]
    assert 8 <= len(chosen) <= 30 and all(afew.carved(each.path.name) == 1 for each in chosen)


def test_parts_and_emotions_may_be_spelt_otherwise_and_hidden_files_are_passed_over(tree):
    before = [(each.path.name, each.label, each.split) for each in gaf.pictures(tree)]
    (tree / "Train").rename(tree / "Train_")
    (tree / "Validation").rename(tree / "Val")
    (tree / "Val" / "Neutral").rename(tree / "Val" / "neutral")
    for name in ("._pos_0.jpg", ".DS_Store", "Thumbs.db"):
        (tree / "Train_" / "Positive" / name).touch()
    (tree / "Train_" / "Positive.zip").touch()
    assert [(each.path.name, each.label, each.split) for each in gaf.pictures(tree)] == before


def spoil(tree, how: str):
    """Spoil a tree; the place that the error is to name."""
    neutral = tree / "Validation" / "Neutral"
    if how == "no part":
        (tree / "Train").rename(tree / "Test")
        return tree
    if how == "no emotion":
        neutral.rename(tree / "Neutral")
        return tree / "Validation"
    if how == "another emotion":
        neutral.rename(tree / "Validation" / "Angry")
        return tree / "Validation" / "Angry"
    if how == "no pictures":
        for path in neutral.iterdir():
            path.unlink()
        return neutral
    (neutral / "neu_1.txt").touch()
    return neutral / "neu_1.txt"


@pytest.mark.parametrize(("how", "found"), [
    ("no part", "found no Train/, only Test, Validation, expected Train/ and Validation/ with a folder for each of"),
    ("no emotion", "found no folder Neutral, expected one for each of Negative, Neutral, Positive"),
    ("another emotion", "found a folder of pictures of no known emotion, expected one of Negative, Neutral, Positive"),
    ("no pictures", "found no picture, expected pictures in .png, .jpg"),
    ("no picture", "found a file that is no picture by its name, expected one in .png, .jpg"),
])  # fmt: skip
def test_what_is_missing_or_wrong_is_named(tree, how, found):
    with pytest.raises(ValueError, match=f"^{re.escape(f'{spoil(tree, how)}: {found}')}"):
        gaf.pictures(tree)


def test_it_is_found_by_its_variable_or_in_the_projects_data(tree, monkeypatch):
    assert gaf.find() is None
    (paths.DATA / "gaf").mkdir(parents=True)
    assert gaf.find() == paths.DATA / "gaf"
    monkeypatch.setenv("GAF", str(tree))
    assert gaf.find() == tree
    monkeypatch.setenv("GAF", str(tree / "nothing"))
    with pytest.raises(FileNotFoundError, match="GAF=.*found no such file or folder, expected GAF 2.0; its licence"):
        gaf.find()


# ---- drawn


def test_drawn_pictures_are_read_like_it_and_drawn_the_same_again(tmp_path):
    for folder, count in {"one": 12, "other": 6}.items():
        drawn_scenes.write_gaf(tmp_path / folder, count, 6)
    found = gaf.pictures(tmp_path / "one")
    assert Counter(each.label for each in found) == dict.fromkeys(range(3), 6)
    assert sum(each.split == 2 for each in found) == 6
    for path in (tmp_path / "other").rglob("*.jpg"):
        assert path.read_bytes() == (tmp_path / "one" / path.relative_to(tmp_path / "other")).read_bytes()
    assert pictures.decode(found[0].path.read_bytes(), "a picture").shape == (480, 640, 3)


def test_a_drawn_group_has_two_to_five_faces_apart_and_most_show_its_emotion(monkeypatch):
    shown = []
    monkeypatch.setattr(
        drawn_scenes.drawn_faces, "draw", lambda what, rng, size: shown.append(what) or np.zeros((size, size), np.uint8)
    )
    sizes = Counter()
    for seed in range(60):
        _, boxes = drawn_scenes.group("negative", np.random.default_rng(seed))
        sizes[len(boxes)] += 1
        covered = np.zeros((480, 640), int)
        for left, top, width, height in boxes:
            assert 0 <= left <= 640 - width and 0 <= top <= 480 - height
            covered[top : top + height, left : left + width] += 1
        assert covered.max() == 1
    assert set(sizes) == {2, 3, 4, 5}
    assert 0.8 < np.isin(shown, drawn_scenes.SHOWN["negative"]).mean() < 1
