"""Paths from environment variables: empty, from the home, and relative to where the command was called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fer_lib import paths

PROGRAM = """
import os, subprocess, sys
from fer_lib import paths
from fer_lib.data import affectnet, fer2013, ferplus
print(paths.CACHE, fer2013.find(), ferplus.find(), affectnet.find(), sep="\\n")
if len(sys.argv) == 1:  # as those who make runs do: a process that works elsewhere
    subprocess.run([sys.executable, __file__, "again"], check=True, cwd=paths.ROOT)
"""


def test_relative_paths_mean_the_same_in_a_process_that_works_elsewhere(tmp_path):
    for name in ("mine.csv", "fer2013new.csv", "program.py"):
        (tmp_path / name).write_text(PROGRAM)
    (tmp_path / "AffectNet").mkdir()
    given = {"FER2013": "mine.csv", "FERPLUS": ".", "AFFECTNET": "~/AffectNet", "FER_CACHE": "../cache"}
    environment = os.environ | given | {"PYTHONPATH": str(paths.ROOT), "HOME": str(tmp_path)}
    command = [sys.executable, str(tmp_path / "program.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True)
    lines = [Path(os.path.normpath(line)) for line in done.stdout.splitlines()]
    names = ("mine.csv", "fer2013new.csv", "AffectNet")
    assert lines[:4] == lines[4:] == [tmp_path.parent / "cache", *(tmp_path / name for name in names)]


def test_an_empty_cache_variable_is_an_unset_one(tmp_path):
    command = [sys.executable, "-c", "from fer_lib import paths; print(paths.CACHE)"]
    environment = os.environ | {"FER_CACHE": "", "PYTHONPATH": str(paths.ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True)
    assert done.stdout == f"{paths.ROOT / 'data' / 'cache'}\n" and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", None), ("~/x", "{home}/x"), ("x/y.csv", "{here}/x/y.csv"), ("/x", "/x"), (os.fsdecode(b"/\xe9"), "/\udce9")],
)
def test_what_a_variable_names(tmp_path, monkeypatch, text, expected):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FER_CACHE", text)
    assert paths.named("FER_CACHE") == (expected and Path(expected.format(home=tmp_path, here=Path.cwd())))
    monkeypatch.delenv("FER_CACHE")
    assert paths.named("FER_CACHE") is None
