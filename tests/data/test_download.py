"""``make data`` against a stand-in for Kaggle: what it brings, what it refuses, and that nothing is left half."""

import importlib.machinery
import inspect
import os
import sys
import types
from pathlib import Path

import pytest
from made_up_fer2013 import assert_holds, icml_text, in_parts, load, made_up, picture_files, write_folder

from fer_lib import __main__, paths
from fer_lib.data import array_hash, download, fer2013

ARRAYS = in_parts(*made_up(rows=20))


class UnauthenticatedError(Exception):
    pass


class Kaggle(types.ModuleType):
    """kagglehub with its two functions' own parameters (``test_the_calls_fit_the_library`` compares them).

    ``serves``: what Kaggle has by name, either files (name -> content) or the error that asking for it ends in.
    """

    def __init__(self):
        super().__init__("kagglehub")
        self.__spec__ = importlib.machinery.ModuleSpec("kagglehub", None)
        self.serves, self.asked = {}, []

    def competition_download(self, handle, path=None, *, force_download=False, output_dir=None):
        return self._download(handle, path, output_dir, Path("competitions", handle))

    def dataset_download(self, handle, path=None, *, force_download=False, output_dir=None):
        return self._download(handle, path, output_dir, Path("datasets", handle, "1"))

    def _download(self, handle, path, output_dir, mark):
        self.asked.append(handle)
        served = self.serves.get(handle, ConnectionError(f"{handle}: name not known"))
        assert not os.path.exists(output_dir), "kagglehub refuses a folder that is not empty"
        for name, content in served.items() if isinstance(served, dict) else ():
            if path in (None, name):
                write_folder(Path(output_dir), {name: content})
        if isinstance(served, BaseException):
            write_folder(Path(output_dir), {"half.archive": b"PK"})  # it breaks off in the middle
            raise served
        write_folder(Path(output_dir), {f".complete/{mark}/bundle.complete": b""})
        return os.path.join(output_dir, path or "")


@pytest.fixture
def site(monkeypatch):
    module = Kaggle()
    monkeypatch.setitem(sys.modules, "kagglehub", module)
    monkeypatch.setattr(fer2013, "OFFICIAL_SHA256", array_hash(*ARRAYS))
    return module


OFFICIAL = {"icml_face_data.csv": icml_text(*ARRAYS).encode(), "train.csv": b"emotion,pixels\n"}
COPY = {"fer2013.csv": icml_text(*ARRAYS).encode()}
PICTURES = picture_files(*ARRAYS, ".jpg")
REFUSED = UnauthenticatedError("User is not authenticated")


def in_data():
    return sorted(path.name for path in paths.DATA.iterdir()) if paths.DATA.exists() else []


def test_with_credentials_the_competition_s_table(site, capsys):
    site.serves = {fer2013.COMPETITION: OFFICIAL, download.TABLE: COPY, download.PICTURES: PICTURES}
    assert __main__.main(["data"]) == 0
    assert in_data() == ["icml_face_data.csv"] and site.asked == [fer2013.COMPETITION]
    printed = capsys.readouterr().out
    assert "The faces belong to the people on them." in printed and "https://www.kaggle.com/terms" in printed
    assert f"{paths.DATA / 'icml_face_data.csv'} is the official FER2013, 20 faces\nNow: make reproduce" in printed
    assert_holds(fer2013.load(), *ARRAYS)
    assert __main__.main(["data"]) == 0  # once more: it is here, and nobody is asked
    assert site.asked == [fer2013.COMPETITION] and "is the official FER2013" in capsys.readouterr().out


def test_without_credentials_the_public_copy(site, capsys):
    site.serves = {fer2013.COMPETITION: REFUSED, download.TABLE: COPY, download.PICTURES: PICTURES}
    assert __main__.main(["data"]) == 0
    assert in_data() == ["fer2013.csv"]
    assert "(UnauthenticatedError: User is not authenticated)" in capsys.readouterr().out
    assert fer2013.load().source["official"]


def test_pictures_where_there_is_no_table_and_the_table_later(site, capsys):
    site.serves = {fer2013.COMPETITION: REFUSED, download.PICTURES: PICTURES}
    assert __main__.main(["data"]) == 0
    assert in_data() == ["fer2013"]
    assert sorted(path.name for path in (paths.DATA / "fer2013").iterdir()) == ["test", "train"]
    assert f"{paths.DATA / 'fer2013'} is not the official FER2013: found 20 rows" in capsys.readouterr().out
    faces = load()
    assert faces.source["form"] == "JPEG pictures" and len(faces) == 20

    assert __main__.main(["data"]) == 0  # still no table: what is here stays, and the way to it is told
    assert download.PICTURES not in site.asked[3:] and "To get the official data by hand" in capsys.readouterr().out
    site.serves[fer2013.COMPETITION] = OFFICIAL
    assert __main__.main(["data"]) == 0
    assert in_data() == ["fer2013", "icml_face_data.csv"]
    assert fer2013.load().source["official"]


def test_without_a_network_every_step_by_hand_is_told(site, capsys):
    assert __main__.main(["data"]) == 1
    printed = capsys.readouterr().out
    for needed in (
        f"https://www.kaggle.com/c/{fer2013.COMPETITION}/rules", "fer2013.tar.gz", "icml_face_data.csv",
        str(paths.DATA), "FER2013=PATH", "KAGGLE_API_TOKEN", "https://www.kaggle.com/settings", download.PICTURES,
        "archive.zip", "name not known", "The faces belong to the people on them.",
    ):  # fmt: skip
        assert needed in printed, needed
    assert in_data() == []


def test_without_the_library_the_same(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert __main__.main(["data"]) == 1
    printed = capsys.readouterr().out
    assert "kagglehub is not installed here" in printed and "To get the official data by hand" in printed


BAD = {
    "another table": {"fer2013.csv": icml_text(*made_up(rows=9)).encode()},
    "a broken table": {"fer2013.csv": COPY["fer2013.csv"][:9000]},
    "something else": {"readme.txt": b"moved"},
    "nothing": {},
}


@pytest.mark.parametrize("served", BAD.values(), ids=BAD)
def test_what_is_not_the_official_table_never_reaches_data(site, capsys, served):
    site.serves = {fer2013.COMPETITION: REFUSED, download.TABLE: served}
    assert __main__.main(["data"]) == 1
    assert in_data() == []
    assert f"Not from Kaggle's {download.TABLE} (" in capsys.readouterr().out


def test_pictures_that_are_not_whole_never_reach_data(site, capsys):
    damaged = PICTURES | {next(iter(PICTURES)): b"<html>"}
    training = {name: PICTURES[name] for name in PICTURES if name.startswith("train/")}
    for served, message in ((damaged, "no picture that can be decoded"), (training, "no PublicTest rows")):
        site.serves = {download.PICTURES: served}
        assert __main__.main(["data"]) == 1
        assert in_data() == [] and message in capsys.readouterr().out


def test_a_part_of_the_data_is_not_enough_and_stays(site):
    mine = write_folder(paths.DATA, {"train.csv": icml_text(*(array[:3] for array in ARRAYS)).encode()})
    site.serves = {download.PICTURES: PICTURES}
    assert __main__.main(["data"]) == 0
    assert in_data() == ["fer2013", "train.csv"] and (mine / "train.csv").stat().st_size


def test_malformed_data_is_named_and_stays(site, capsys):
    write_folder(paths.DATA, {"fer2013.csv": b"<html>"})
    assert __main__.main(["data"]) == 1
    assert "fer2013.csv, line 1: found the columns" in (message := capsys.readouterr().err)
    assert "Move it away" in message and in_data() == ["fer2013.csv"] and site.asked == []


def test_nothing_in_the_way_is_overwritten(site, capsys):
    write_folder(paths.DATA, {"fer2013/notes.txt": b"mine"})
    site.serves = {download.PICTURES: PICTURES}
    assert __main__.main(["data"]) == 1
    assert "is in the way" in capsys.readouterr().out
    assert [path.name for path in (paths.DATA / "fer2013").iterdir()] == ["notes.txt"]


def test_interrupted_it_leaves_nothing(site):
    site.serves = {fer2013.COMPETITION: KeyboardInterrupt()}
    assert __main__.main(["data"]) == 130
    assert in_data() == []


@pytest.mark.parametrize("name", ["competition_download", "dataset_download"])
def test_the_calls_fit_the_library(name):
    kagglehub = pytest.importorskip("kagglehub")
    stand_in = inspect.signature(getattr(Kaggle(), name)).parameters
    real = inspect.signature(getattr(kagglehub, name)).parameters
    assert {p: (v.kind, v.default) for p, v in stand_in.items()} == {p: (v.kind, v.default) for p, v in real.items()}
