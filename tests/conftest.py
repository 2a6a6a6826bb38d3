"""Fixtures. This file and .ci/run are the only ones that know where a copy of FER2013 may lie beside the project."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_lib import paths
from fer_lib.data import Faces, array_hash, fer2013
from fer_lib.data.emotions import EIGHT
from fer_lib.system import file_hash

for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):  # one core for each worker
    os.environ.setdefault(_name, "1")
SHARED = paths.ROOT.parent / "shared" / "data" / "fer2013"
SHARED_FERPLUS = paths.ROOT.parent / "shared" / "data" / "ferplus" / "fer2013new.csv"


LONGEST = ("notebooks/", "tests/training/test_loop", "tests/test_rooms", "tests/test_system", "tests/runs/test_runs")


def pytest_collection_modifyitems(items: list) -> None:
    """The longest modules first: begun last, one would leave the other worker idle."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(autouse=True)
def _no_data(monkeypatch, tmp_path):
    """No test finds data, or a cache, that it was not given."""
    for name in ("FER2013", "FERPLUS", "AFFECTNET", "CKPLUS", "SFEW", "AFEW", "GAF", "PRECISION", "DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")


@pytest.fixture(scope="session")
def fer2013_csv(tmp_path_factory) -> Path:
    """The official fer2013.csv; the test is skipped where there is none."""
    given = os.environ.get("FER_TEST_CSV")
    if given:
        return Path(given)
    if not (SHARED / "unpack.py").exists():
        pytest.skip("the real FER2013 is not here: set FER_TEST_CSV to the official fer2013.csv to run this test")
    out = tmp_path_factory.getbasetemp() / "fer2013.csv"
    if not out.exists():
        command = [sys.executable, str(SHARED / "unpack.py"), "csv", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out


@pytest.fixture(scope="session")
def fer2013_faces(fer2013_csv, tmp_path_factory) -> Faces:
    """The official FER2013, parsed once for all tests; skipped where there is none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "CACHE", tmp_path_factory.mktemp("fer2013-cache"))
        return fer2013.load(fer2013_csv)


@pytest.fixture(scope="session")
def ferplus_csv() -> Path:
    """FER+'s fer2013new.csv; the test is skipped where there is none."""
    path = Path(os.environ.get("FER_TEST_FERPLUS", SHARED_FERPLUS))
    if not path.exists():
        pytest.skip("FER+ is not here: set FER_TEST_FERPLUS to fer2013new.csv to run this test")
    return path


@pytest.fixture(scope="session")
def official_files(fer2013_csv, tmp_path_factory) -> dict[str, Path]:
    """Kaggle's four tables by name, byte for byte, the other three made from the rows of fer2013.csv."""
    folder = tmp_path_factory.mktemp("official")
    rows = [line.split(",") for line in fer2013_csv.read_text().splitlines()[1:]]
    training = [row for row in rows if row[2] == "Training"]
    others = rows[len(training) :]
    texts = {
        "icml_face_data.csv": ("emotion, Usage, pixels\n", (f"{e},{u},{p}\n" for e, p, u in rows)),
        "train.csv": ("emotion,pixels\r\n", (f'{e},"{p}"\r\n' for e, p, _ in training)),
        "test.csv": ("pixels\r\n", (f'"{p}"\r\n' for _, p, _ in others)),
    }
    for name, (header, lines) in texts.items():
        with open(folder / name, "w", newline="") as file:
            file.write(header)
            file.writelines(lines)
        assert fer2013.KAGGLE_FILES[file_hash(folder / name, "md5")] == name
    return {"fer2013.csv": fer2013_csv} | {name: folder / name for name in texts}


@pytest.fixture
def few_faces() -> Faces:
    """70 noise pictures whose brightness tells the emotion: 42 Training, 14 PublicTest, 14 PrivateTest."""
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(7, dtype=np.uint8), 10)
    images = np.clip(labels[:, None, None] * 36 + rng.integers(0, 30, (70, 48, 48)), 0, 255).astype(np.uint8)
    split = np.repeat(np.array([0, 1, 2], np.uint8), (42, 14, 14))
    return Faces(
        images, labels, split, np.arange(70, dtype=np.int32), "drawn_faces", array_hash(images, labels, split),
        {"file": "made up"},
    )  # fmt: skip


@pytest.fixture
def tagged_faces(few_faces) -> Faces:
    """``few_faces``, showing their label by six tenths and the emotion after it by four, of eight emotions."""
    targets = (
        np.eye(8, dtype=np.float32)[few_faces.labels] * 0.6 + np.eye(8, dtype=np.float32)[few_faces.labels + 1] * 0.4
    )
    return replace(few_faces, emotions=EIGHT, targets=targets)
