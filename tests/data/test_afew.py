"""AFEW: its layout as its owners give it out, with what lies beside the clips; its parts; and what is refused."""

import re
from collections import Counter

import av
import numpy as np
import pytest

from fer_lib import paths
from fer_lib.data import afew, drawn_scenes
from fer_lib.data.emotions import FER2013

NAMES = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")


@pytest.fixture(autouse=True)
def _no_afew(monkeypatch):
    monkeypatch.delenv("AFEW", raising=False)


@pytest.fixture
def tree(tmp_path):
    """A tree of 30 training and 10 validation clips of each emotion, which are empty: no clip is opened here."""
    for part, count in {"Train_AFEW": 30, "Val_AFEW": 10}.items():
        for code, name in enumerate(NAMES):
            (tmp_path / "afew" / part / name).mkdir(parents=True)
            for number in range(count):
                (tmp_path / "afew" / part / name / f"{code * 1000 + number:06d}280.avi").touch()
    return tmp_path / "afew"


def test_the_whole_layout_is_read_with_its_labels_and_parts(tree):
    clips = afew.clips(tree)
    assert len(clips) == 7 * 40 and all(FER2013[clip.label] == clip.path.parent.name.lower() for clip in clips)
    assert clips == sorted(clips, key=lambda clip: (clip.split, clip.label, clip.path.name))
    assert all((clip.split == 2) == ("Val_AFEW" in clip.path.parts) for clip in clips)
    assert Counter(clip.label for clip in clips if clip.split == 2) == dict.fromkeys(range(7), 10)
    chosen = [clip for clip in clips if clip.split == 1]
    assert 10 <= len(chosen) <= 32 and all(afew.carved(clip.path.name) == 1 for clip in chosen)


def test_a_clip_stays_in_its_part_whatever_is_beside_it(tree):
    before = {clip.path: clip.split for clip in afew.clips(tree)}
    for path in list(before)[::3]:
        path.unlink()
    after = {clip.path: clip.split for clip in afew.clips(tree)}
    assert len(after) < len(before) and all(before[path] == split for path, split in after.items())
    assert afew.carved("000046280.avi") == afew.carved("000046280.avi") == 0


def test_what_lies_beside_the_clips_is_passed_over(tree):
    before = afew.clips(tree)
    aligned = tree / "Train_AFEW" / "AlignedFaces_LBPTOP_Points" / "Faces" / "000046280"
    aligned.mkdir(parents=True)
    (aligned / "0001.jpg").touch()
    (tree / "Val_AFEW" / "AlignedFaces_LBPTOP_Points_Val").mkdir()
    for name in ("Happy.zip", "AlignedFaces_LBPTOP_Points.zip", "readme.txt"):
        (tree / "Train_AFEW" / name).touch()
    for name in ("._000003280.avi", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (tree / "Train_AFEW" / "Happy" / name).touch()
    (tree / "Train_AFEW" / ".Contempt").mkdir()
    (tree / "Test_AFEW").mkdir()
    (tree / "Test_AFEW" / "000000001.avi").touch()
    assert afew.clips(tree) == before


def test_parts_and_emotions_may_be_spelt_otherwise(tree):
    before = [(clip.path.name, clip.label, clip.split) for clip in afew.clips(tree)]
    (tree / "Train_AFEW").rename(tree / "train")
    (tree / "Val_AFEW").rename(tree / "Val")
    (tree / "Val" / "Happy").rename(tree / "Val" / "HAPPY")
    (tree / "Val" / "Sad" / "005000280.avi").rename(tree / "Val" / "Sad" / "005000280.MP4")
    names = [(clip.path.name.replace("MP4", "avi"), clip.label, clip.split) for clip in afew.clips(tree)]
    assert names == before


def spoil(tree, how: str):
    """Spoil a tree; the place that the error is to name."""
    happy, train = tree / "Train_AFEW" / "Happy", tree / "Train_AFEW"
    if how == "no such folder":
        return tree / "elsewhere"
    if how == "no part":
        (tree / "Val_AFEW").rename(tree / "Test_AFEW")
        return tree
    if how == "no emotion":
        happy.rename(train / ".Happy")
        return train
    if how == "another emotion":
        (train / "Contempt").mkdir()
        (train / "Contempt" / "1.avi").touch()
        return train / "Contempt"
    if how == "twice":
        (train / "happy").mkdir()
        return train / "happy"
    if how == "no clips":
        for path in happy.iterdir():
            path.unlink()
        return happy
    (happy / "000046280.wav").touch()
    return happy / "000046280.wav"


@pytest.mark.parametrize(("how", "found"), [
    ("no such folder", "found no such folder, expected Train_AFEW/ and Val_AFEW/ with a folder for each of Angry"),
    ("no part", "found no Val_AFEW/, only Test_AFEW, Train_AFEW, expected"),
    ("no emotion", "found no folder Happy, expected one for each of Angry, Disgust"),
    ("another emotion", "found a folder of clips of no known emotion, expected one of Angry"),
    ("twice", "found a second folder of happy, beside Happy"),
    ("no clips", "found no clip, expected clips in .avi, .mp4, .mkv; unpack AFEW again"),
    ("no clip", "found a file that is no clip by its name, expected one in .avi, .mp4, .mkv"),
])  # fmt: skip
def test_what_is_missing_or_wrong_is_named(tree, how, found):
    place = spoil(tree, how)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{place}: {found}')}"):
        afew.clips(place if how == "no such folder" else tree)


def test_it_is_found_by_its_variable_or_in_the_projects_data(tree, monkeypatch):
    assert afew.find() is None
    (paths.DATA / "afew").mkdir(parents=True)
    assert afew.find() == paths.DATA / "afew"
    monkeypatch.setenv("AFEW", str(tree))
    assert afew.find() == tree
    monkeypatch.setenv("AFEW", str(tree / "Train_AFEW" / "Happy" / "003000280.avi"))
    with pytest.raises(FileNotFoundError, match="AFEW=.*found a file, expected AFEW; its licence"):
        afew.find()


# ---- drawn


def test_drawn_clips_are_read_like_it_and_drawn_the_same_again(tmp_path):
    for folder, count in {"one": 14, "other": 7}.items():
        drawn_scenes.write_afew(tmp_path / folder, count, 7)
    clips = afew.clips(tmp_path / "one")
    assert Counter(clip.label for clip in clips) == dict.fromkeys(range(7), 3)
    assert sum(clip.split == 2 for clip in clips) == 7
    for path in (tmp_path / "other").rglob("*.avi"):
        assert path.read_bytes() == (tmp_path / "one" / path.relative_to(tmp_path / "other")).read_bytes()
    with av.open(str(clips[0].path)) as file:
        frames = [frame.to_ndarray(format="bgr24") for frame in file.decode(video=0)]
        assert file.streams.video[0].average_rate == 25
    assert 10 <= len(frames) <= 20 and frames[0].shape == (180, 320, 3)


def test_in_a_drawn_clip_an_expression_rises_and_falls_again():
    emotions = dict.fromkeys(("surprise", "neutral"))
    for emotion in emotions:
        frames = np.stack(list(drawn_scenes.clip(emotion, np.random.default_rng(3)))).astype(int)
        apart = np.abs(frames - frames[0]).mean((1, 2, 3))
        assert apart[0] == 0 and apart[-1] < 0.5 and apart.argmax() in (len(frames) // 2 - 1, len(frames) // 2)
        emotions[emotion] = apart.max()
    assert emotions["surprise"] > 0


def test_the_tree_is_drawn_once(monkeypatch):
    monkeypatch.setattr(drawn_scenes, "write_afew", lambda folder: folder.mkdir())
    tree = drawn_scenes.afew()
    assert tree.is_dir() and tree.is_relative_to(paths.CACHE)
    monkeypatch.setattr(drawn_scenes, "write_afew", None)
    assert drawn_scenes.afew() == tree
