"""SFEW: its layout as released, what is none, films that are in one part alone, and what is drawn in its place."""

import json
import re
import shutil
import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_lib import paths
from fer_lib.data import SPLITS, array_hash, drawn_ckplus, sfew
from fer_lib.data.emotions import FER2013

FOLDERS = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
CHOSEN = next(film for k in range(99) if sfew.carved(film := f"Film{k}"))
OTHERS = [film for k in range(9) if not sfew.carved(film := f"Film{k}")]


@pytest.fixture(autouse=True)
def _no_sfew(monkeypatch):
    monkeypatch.delenv("SFEW", raising=False)


def write(path, grey=100, shape=(181, 143, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full(shape, grey, np.uint8))


@pytest.fixture
def tree(tmp_path):
    """Two pictures of each emotion to train with, of two films, and one to validate, of a third; to spoil."""
    for code, name in enumerate(FOLDERS):
        write(tmp_path / f"tree/Train_Aligned_Faces/{name}/{CHOSEN}_000519240_0000000{code}.png", 10 * code)
        write(tmp_path / f"tree/Train_Aligned_Faces/{name}/{OTHERS[0]}_000519240_0000000{code}.png", 10 * code + 1)
        write(tmp_path / f"tree/Val_Aligned_Faces/{name}/A_Film_2_011113454_0000000{code}.png", 10 * code + 2)
    return tmp_path / "tree"


# ---- the whole of it


def test_the_layout_is_read_with_labels_parts_and_films(tree):
    (tree / "Train_Aligned_Faces/.DS_Store").write_bytes(b"Bud1")
    (tree / "Train_Aligned_Faces/Sad/._Film_000519240_00000001.png").write_bytes(b"of macOS")
    (tree / "Train_Aligned_Faces/Sad/Thumbs.db").write_bytes(b"of Windows")
    faces = sfew.load(tree)
    assert faces.images.shape == (21, 48, 48) and faces.images.dtype == faces.labels.dtype == np.uint8
    assert faces.split.tolist() == [0] * 7 + [1] * 7 + [2] * 7 and faces.labels.tolist() == [*range(7)] * 3
    assert faces.emotions == FER2013
    greys = [10 * FOLDERS.index(name.capitalize()) for name in FER2013]
    expected = [grey + which for which in (1, 0, 2) for grey in greys]
    assert (faces.images == np.array(expected)[:, None, None]).all()
    films = sorted([CHOSEN, OTHERS[0], "A_Film_2"])
    assert [films[film] for film in faces.people] == [OTHERS[0]] * 7 + [CHOSEN] * 7 + ["A_Film_2"] * 7
    assert faces.people.dtype == faces.ids.dtype == np.int32 and faces.ids.tolist() == list(range(21))
    assert faces.name == "sfew" and faces.sha256 == array_hash(faces.images, faces.labels, faces.split)
    assert faces.source == {"file": "tree", "form": "aligned faces", "official": False, "films": 3}
    json.dumps(faces.source)


def test_a_face_is_the_middle_square_of_its_picture(tmp_path):
    picture = np.zeros((181, 143), np.uint8)
    picture[19:162] = 90
    cv2.imwrite(str(tmp_path / "high.png"), picture)
    cv2.imwrite(str(tmp_path / "wide.png"), picture.T)
    for name in ("high", "wide"):
        assert (sfew.face(tmp_path / f"{name}.png") == 90).all()
    colour = np.zeros((143, 143, 3), np.uint8)
    colour[:] = 40, 120, 200  # BGR
    cv2.imwrite(str(tmp_path / "colour.png"), colour)
    assert (sfew.face(tmp_path / "colour.png") == round(0.114 * 40 + 0.587 * 120 + 0.299 * 200)).all()


@pytest.mark.parametrize("places", [
    ("Train/Train_Aligned_Faces", "Val/Val_Aligned_Faces"),
    ("SFEW 2/Train/Train_Aligned_Faces", "SFEW 2/Val/Val_Aligned_Faces"),
    ("Train_Aligned_Faces/Train_Aligned_Faces", "Val_Aligned_Faces_new"),
    ("Train_Aligned_Faces", "Val/Val_Aligned_Faces_new/Val_Aligned_Faces"),
])  # fmt: skip
def test_the_nesting_of_the_zip_files_changes_nothing(tree, places):
    expected = sfew.load(tree).sha256
    for name, place in zip(("Train_Aligned_Faces", "Val_Aligned_Faces"), places):
        (tree / name).rename(tree / "moved")
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        (tree / "moved").rename(tree / place)
    (tree / "__MACOSX").mkdir()
    assert sfew.load(tree).sha256 == expected


def test_whole_frames_are_not_read(tree):
    expected = sfew.load(tree).sha256
    for name in FOLDERS:
        write(tree / f"Train/{name}/Film_000519240_00000001.png", 255, (576, 720, 3))
    assert sfew.load(tree).sha256 == expected


@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_folders_of_emotions_in_other_case_are_the_same(tree, change):
    expected = sfew.load(tree).sha256
    for path in [*tree.glob("*/Happy"), *tree.glob("*/Sad")]:
        path.rename(path.with_name(change(path.name)))
    assert sfew.load(tree).sha256 == expected


# ---- where it is


def test_it_is_found_by_its_variable_or_in_data(tree, monkeypatch):
    assert sfew.find() is None
    with pytest.raises(FileNotFoundError, match=re.escape("SFEW 2.0 is not here: its licence is granted on request")):
        sfew.load()
    paths.DATA.mkdir()
    shutil.copytree(tree, paths.DATA / "sfew")
    assert sfew.find() == paths.DATA / "sfew"
    monkeypatch.setenv("SFEW", str(tree))
    assert sfew.find() == tree and sfew.load().source["file"] == "tree"
    monkeypatch.setenv("SFEW", str(tree / "nowhere"))
    with pytest.raises(FileNotFoundError, match="SFEW=.*nowhere: found no such file or folder"):
        sfew.find()


# ---- what is not SFEW


def test_a_folder_without_aligned_faces_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nowhere: found no such folder, expected Train_Aligned_Faces/"):
        sfew.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="found an empty folder, expected Train_Aligned_Faces/"):
        sfew.load(tmp_path)
    (tmp_path / "Test_Aligned_Faces").mkdir()
    with pytest.raises(ValueError, match="found no aligned faces of Train in Test_Aligned_Faces, expected"):
        sfew.load(tmp_path)
    write(tmp_path / "Train/Angry/Film_000519240_00000001.png")
    with pytest.raises(ValueError, match="found only whole frames of films of Train, expected Train_Aligned_Faces/"):
        sfew.load(tmp_path)


def test_a_part_of_which_only_whole_frames_are_there_is_refused(tree):
    (tree / "Val_Aligned_Faces").rename(tree / "Val")
    with pytest.raises(ValueError, match="tree: found only whole frames of films of Val, expected"):
        sfew.load(tree)


@pytest.mark.parametrize("part", ["Train_Aligned_Faces", "Val_Aligned_Faces"])
def test_a_missing_folder_of_an_emotion_is_refused(tree, part):
    shutil.rmtree(tree / part / "Fear")
    with pytest.raises(ValueError, match=f"{part}: found no folder Fear, expected one for each of Angry, Disgust"):
        sfew.load(tree)


@pytest.mark.parametrize("part", ["Train_Aligned_Faces", "Val_Aligned_Faces"])
def test_an_unknown_or_second_folder_of_an_emotion_is_refused(tree, part):
    (tree / part / "Contempt").mkdir()
    with pytest.raises(ValueError, match=f"{part}.Contempt: found a folder of no known emotion, expected one folder"):
        sfew.load(tree)
    (tree / part / "Contempt").rmdir()
    (tree / part / "sad").mkdir()
    with pytest.raises(ValueError, match=f"{part}.[Ss]ad: found a second folder of this emotion, expected one folder"):
        sfew.load(tree)


@pytest.mark.parametrize("content", [b"", b"nothing", "half"])
def test_a_damaged_picture_is_refused_by_name(tree, content):
    path = tree / "Val_Aligned_Faces/Sad/A_Film_2_011113454_00000005.png"
    path.write_bytes(path.read_bytes()[:80] if content == "half" else content)
    with pytest.raises(ValueError, match="A_Film_2_011113454_00000005.png: found .*picture"):
        sfew.load(tree)
    assert not paths.CACHE.exists()


@pytest.mark.parametrize("part", ["Train_Aligned_Faces", "Val_Aligned_Faces"])
def test_a_part_without_pictures_is_refused(tree, part):
    for path in tree.glob(f"{part}/*/*.png"):
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(ValueError, match=f"{part}: found no picture, expected aligned faces"):
        sfew.load(tree)


@pytest.mark.parametrize("name", ["picture.png", "Film_12345.png", "_000519240_00000001.png"])
def test_a_picture_whose_name_tells_no_film_is_refused(tree, name):
    write(tree / "Train_Aligned_Faces/Sad" / name)
    with pytest.raises(ValueError, match=f"{name}: found a name without a film, expected one such as Airheads_0"):
        sfew.load(tree)


# ---- films


@settings(deadline=None, max_examples=20)
@given(st.lists(st.from_regex(r"[A-Z][A-Za-z]{0,8}(_[1-9A-Z]{1,5})?", fullmatch=True), min_size=7, max_size=25))
def test_no_film_is_in_training_and_in_public_test(tmp_path_factory, films):
    folder = tmp_path_factory.mktemp("films")
    write(folder / "one.png", shape=(10, 8))
    for part, names in {"Train": films, "Val": films[:7]}.items():
        for k, film in enumerate(names):
            place = folder / f"{part}_Aligned_Faces" / FOLDERS[k % 7]
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "one.png", place / f"{film}_{k:09d}_00000005.png")
    faces = sfew.load(folder)
    names = sorted(set(films))
    assert len(faces) == len(films) + 7 and faces.source["films"] == len(names)
    training, public, private = (set(faces.people[faces.rows(name)].tolist()) for name in SPLITS)
    assert not training & public and private == {names.index(film) for film in films[:7]}
    assert {names[k] for k in public} == {film for film in films if sfew.carved(film)}


def test_a_tenth_of_films_is_public_test_by_their_names_alone():
    parts = [sfew.carved(f"Film{k}") for k in range(3000)]
    assert set(parts) == {0, 1} and abs(np.mean(parts) - 0.1) < 0.02
    assert [sfew.carved("Airheads"), sfew.carved("Serendipity")] == [sfew.carved("Airheads"), 0]


def test_memory_does_not_grow_with_the_pictures_but_for_the_faces(tree):
    def peak():
        tracemalloc.start()
        try:
            faces = sfew.load(tree)
            return tracemalloc.get_traced_memory()[1], faces.images.nbytes
        finally:
            tracemalloc.stop()

    for name in FOLDERS:
        for k in range(10):
            write(tree / f"Train_Aligned_Faces/{name}/More_{k:09d}_00000001.png")
    sfew.load(tree)  # what is imported and compiled once
    one, faces = peak()
    for name in FOLDERS:
        for k in range(13):
            write(tree / f"Train_Aligned_Faces/{name}/Others_{k:09d}_00000001.png")
    two, more = peak()
    assert more == 2 * faces
    # 91 pictures more of 78 kB each: kept in colour, they would be 7 MB. Their names take a few hundred bytes.
    assert two - one < more - faces + 200_000
    assert two < more + 2_000_000


# ---- drawn in its place


def test_a_drawn_tree_is_read_nested_or_not(tmp_path):
    for name, nested in (("flat", False), ("nested", True)):
        drawn_ckplus.write_sfew(tmp_path / name, 21, 14, nested)
    assert (tmp_path / "nested/Val/Val_Aligned_Faces_new/Sad").is_dir()
    assert len(list(tmp_path.glob("flat/Train/*/*.png"))) == 7
    flat, nested = sfew.load(tmp_path / "flat"), sfew.load(tmp_path / "nested")
    assert flat.sha256 == nested.sha256 and np.bincount(flat.labels).tolist() == [5] * 7
    picture = cv2.imread(str(next(tmp_path.glob("flat/Val_Aligned_Faces/Sad/*.png")))).astype(float)
    assert picture.shape == (181, 143, 3) and np.abs(picture[..., 0] - picture[..., 2]).mean() > 5  # it has colour


def test_a_drawn_part_without_every_emotion_is_refused(tmp_path):
    with pytest.raises(ValueError, match="found 7 and 6 faces; expected 7 or more"):
        drawn_ckplus.write_sfew(tmp_path, 7, 6)


def test_the_stand_in_is_loaded_by_name_and_drawn_once(monkeypatch):
    faces = drawn_ckplus.load("drawn_sfew")
    assert faces.name == "drawn_sfew" and faces.source["file"] == "drawn in the layout of SFEW 2.0"
    counts = [len(faces.rows(split)) for split in SPLITS]
    assert sum(counts) == 400 and counts[2] == 100 and 20 <= counts[1] <= 50
    for split in SPLITS:
        assert set(faces.labels[faces.rows(split)]) == set(range(7))
    assert len(list(paths.CACHE.glob("drawn-sfew-*/tree"))) == 1
    monkeypatch.setattr(drawn_ckplus, "DATA", {"drawn_sfew": (pytest.fail, *drawn_ckplus.DATA["drawn_sfew"][1:])})
    assert drawn_ckplus.load("drawn_sfew").sha256 == faces.sha256


def test_the_stand_in_is_the_same_wherever_it_is_drawn(monkeypatch, tmp_path):
    small = (lambda folder: drawn_ckplus.write_sfew(folder, 21, 7), *drawn_ckplus.DATA["drawn_sfew"][1:])
    monkeypatch.setattr(drawn_ckplus, "DATA", {"drawn_sfew": small})
    one = drawn_ckplus.load("drawn_sfew")
    monkeypatch.setattr(paths, "CACHE", tmp_path / "elsewhere")
    assert drawn_ckplus.load("drawn_sfew").sha256 == one.sha256 and len(one) == 28
