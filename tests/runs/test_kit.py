"""The kit for machines without network: what goes in, its pieces, and its script, which makes the runs there."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from fer_lib import data, paths, runs
from fer_lib.__main__ import main
from fer_lib.data import fer2013
from fer_lib.evaluation import provenance
from fer_lib.files import arrays
from fer_lib.runs import kit, plan

HERE = f"3.{sys.version_info.minor}"
ROW = "saravanan2019/table1_feedforward"
NOTEBOOKS = sorted({content["notebook"] for content in runs.experiments().values() if "notebook" in content})


# ---- packages


def test_of_the_lock_goes_what_runs_need_with_its_checksums():
    lines, left = kit.packages(["3_train_network"], "3.12")
    assert left == []
    assert {"keras", "jax", "jaxlib", "numpy", "papermill", "ipykernel", "pyzmq", "h5py", "scipy"} <= lines.keys()
    unneeded = {
        "tensorflow",
        "pytest",
        "ruff",
        "hypothesis",
        "jupyterlab",
        "snakemake",
        "statsmodels",
        "av",
        "nbconvert",
    }
    assert not unneeded & lines.keys()
    assert not {"colorama", "appnope"} & lines.keys()  # of other systems
    assert all(re.fullmatch(r"[\w-]+==\S+( --hash=sha256:[0-9a-f]{64})+", line) for line in lines.values())


def test_the_lock_s_markers_are_those_of_the_other_machine():
    versions = [kit.packages(["3_train_network"], python)[0]["jax"].split()[0] for python in ("3.11", "3.12")]
    assert versions[0] != versions[1]
    with pytest.raises(ValueError, match="python: found '3.9', expected 3.11, 3.12 or 3.13"):
        kit.packages([], "3.9")


def test_what_the_machine_has_is_left_out_with_all_that_it_needs():
    everything, lines = (kit.packages(["3_train_network"], "3.12", without)[0] for without in ("", "JAX, pillow"))
    assert {"jax", "jaxlib", "numpy", "scipy", "ml-dtypes", "pillow"} <= everything.keys() - lines.keys()
    assert {"keras", "h5py", "papermill", "matplotlib"} <= lines.keys()
    with pytest.raises(ValueError, match="without: found 'panda', expected pandas"):
        kit.packages([], "3.12", "panda")


def test_few_runs_need_more():
    assert "statsmodels" in kit.packages(["4_first_steps"], "3.12")[0]
    assert {"av", "onnxruntime"} <= kit.packages(["6_live_conditions"], "3.12")[0].keys()
    assert set().union(*kit.ONLY_FOR.values()) <= set(NOTEBOOKS)
    assert set(kit.ONLY_FOR) <= set(kit._roots())


def test_each_package_is_imported_by_its_name():
    installed = [name for name in kit._roots() if name != "jax"]
    assert all(importlib.util.find_spec(kit.MODULES.get(name, name.replace("-", "_"))) for name in installed)


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_notebook_imports_nothing_that_is_not_packed(notebook):
    packed = kit.packages([notebook], "3.12")[0]
    absent = [kit.MODULES.get(name, name.replace("-", "_")) for name in kit._roots() if name not in packed]
    cells = json.loads((paths.NOTEBOOKS / f"{notebook}.ipynb").read_text())["cells"]
    lines = "".join("".join(cell["source"]) + "\n" for cell in cells if cell["cell_type"] == "code").split("\n")
    code = [f"import sys; sys.modules |= dict.fromkeys({absent})"]
    code += [line for line in lines if line.startswith(("import ", "from "))]
    subprocess.run([sys.executable, "-c", "\n".join(code)], check=True)


# ---- data


def test_faces_go_as_they_are(tmp_path, few_faces, monkeypatch):
    monkeypatch.setattr(fer2013, "load", lambda **_: few_faces)
    kit._pack_faces(tmp_path / "fer2013.npz")
    monkeypatch.undo()
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    with pytest.warns(UserWarning, match="not the official"):
        arrived = fer2013.load(tmp_path / "fer2013.npz")
    assert arrived.sha256 == few_faces.sha256
    with np.load(tmp_path / "fer2013.npz") as read:
        assert np.array_equal(read["pixels"], few_faces.images)


def test_the_official_data_arrive_as_official(tmp_path, fer2013_faces, monkeypatch):
    named = {"pixels": fer2013_faces.images, "emotion": fer2013_faces.labels, "usage": fer2013_faces.split}
    arrays.write_npz(tmp_path / "fer2013.npz", named)
    arrived = fer2013.load(tmp_path / "fer2013.npz")
    assert arrived.source["official"] and arrived.sha256 == fer2013_faces.sha256
    assert (tmp_path / "fer2013.npz").stat().st_size < 70e6


# ---- making it


@pytest.fixture
def without_index(monkeypatch, tmp_path):
    """No package is fetched, and no run has a record; the kit's folder."""
    monkeypatch.setattr(kit, "_fetch", lambda wheels, folder, python: (folder / "a.whl").write_bytes(b"a" * 10**6))
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    if not provenance.git("rev-parse", "HEAD"):
        pytest.skip("there is no git checkout here, whose files a kit packs")
    return tmp_path / "kit"


def whole(folder: Path) -> tarfile.TarFile:
    """The tar that the pieces make."""
    joined = folder.with_suffix(".tar")
    joined.write_bytes(b"".join(piece.read_bytes() for piece in sorted(folder.glob("kit.tar.*"))))
    return tarfile.open(joined)


def test_a_kit_has_pieces_checksums_and_a_script(without_index, monkeypatch, capsys):
    monkeypatch.setenv("PRECISION", "bfloat16")
    assert main(["kit", str(without_index), "--profile", "smoke", "--only", "table1", "--size", "1"]) == 0
    pieces = sorted(path.name for path in without_index.glob("kit.tar.*"))
    assert len(pieces) > 2 and {path.name for path in without_index.iterdir()} == {"kit.sh", "SHA256SUMS", *pieces}
    assert max((without_index / name).stat().st_size for name in pieces) <= 10**6
    for line in (without_index / "SHA256SUMS").read_text().splitlines():
        found, name = line.split("  ")
        assert hashlib.sha256((without_index / name).read_bytes()).hexdigest() == found
    with whole(without_index) as tar:
        names = set(tar.getnames())
        assert {"fer_lib/__main__.py", "notebooks/3_train_network.ipynb", f"experiments/{ROW}.yaml"} <= names
        assert not {name.split("/")[0] for name in names} & {"tests", "docs", "results", "web", "claims"}
        assert not {"data/fer2013.npz", "data/fer2013new.csv", "checkpoints.tar"} & names  # smoke needs no FER2013
        listed = json.load(tar.extractfile("runs.json"))
        settings = tar.extractfile("settings.sh").read().decode()
    assert f"{ROW}/jax-bfloat16-seed0" in listed["runs"]  # as JAX makes it, whatever computes here
    code = provenance.code()
    assert f"export FER_COMMIT={code['commit']}\nexport FER_DIRTY={int(code['dirty'])}\n" in settings
    assert "export PRECISION=bfloat16\n" in settings and "piece=1000000\n" in settings
    assert f"{len(listed['runs'])} of {len(listed['runs'])} runs are missing" in capsys.readouterr().out


def test_checkpoints_of_unfinished_runs_go_along(without_index, capsys):
    run = runs.run(ROW, 0, "smoke", "jax")
    folder = run.unfinished / "checkpoint-0001"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text("{}")
    assert main(["kit", str(without_index), "--profile", "smoke", "--only", ROW]) == 0
    assert "Checkpoints of 1 unfinished runs go along" in capsys.readouterr().out
    with whole(without_index) as tar:
        assert "checkpoints.tar" in tar.getnames()


def test_only_data_that_a_kit_carries(without_index, monkeypatch, few_faces, capsys):
    monkeypatch.setattr(runs, "check_data", lambda profile: None)
    monkeypatch.setattr(data, "load_faces", lambda name: few_faces)
    monkeypatch.setattr(fer2013, "load", lambda **_: few_faces)
    monkeypatch.setattr(plan, "_lacks", lambda parameters: "")
    ferplus = without_index.parent / "fer2013new.csv"
    ferplus.write_text("Usage\n")
    monkeypatch.setenv("FERPLUS", str(ferplus))
    asked = ["--only", "table1_feedforward,ferplus_majority,affectnet_official", "--seeds", "1"]
    assert main(["kit", str(without_index), *asked]) == 0
    assert "Left out: vorontsov2018/affectnet_official: no kit carries their data" in capsys.readouterr().out
    with whole(without_index) as tar:
        assert {"data/fer2013.npz", "data/fer2013new.csv"} <= set(tar.getnames())
        listed = json.load(tar.extractfile("runs.json"))["runs"]
    assert listed == [f"{ROW}/jax-seed0", "ours/ferplus_majority/jax-seed0"]


def test_an_older_kit_is_replaced_and_stays_where_a_new_one_fails(without_index, monkeypatch, capsys):
    command = ["kit", str(without_index), "--profile", "smoke", "--only", ROW]
    assert main([*command, "--size", "1"]) == 0 and main(command) == 0
    assert len(list(without_index.iterdir())) == 3

    def fail(*_):
        raise RuntimeError("pip download: found nothing")

    monkeypatch.setattr(kit, "_fetch", fail)
    before = {path.name: path.read_bytes() for path in without_index.iterdir()}
    assert main(command) == 1
    assert before == {path.name: path.read_bytes() for path in without_index.iterdir()}
    assert {path.name for path in without_index.parent.iterdir()} <= {"kit", "results", "cache", "data"}


def test_what_is_no_kit_is_not_replaced(without_index, capsys):
    without_index.mkdir()
    (without_index / "mine").write_text("")
    command = ["kit", str(without_index), "--profile", "smoke", "--only", ROW]
    assert main(command) == 1
    assert "found a folder with 'mine', expected an empty one, or an older kit" in capsys.readouterr().err
    (without_index / "mine").unlink()
    without_index.rmdir()
    without_index.write_text("")
    assert main(command) == 1 and "found a file, expected a folder" in capsys.readouterr().err


def test_where_nothing_is_missing_no_kit_is_made(without_index, monkeypatch, capsys):
    monkeypatch.setattr(plan, "missing", lambda wanted: [])
    assert main(["kit", str(without_index), "--profile", "smoke", "--only", ROW]) == 1
    assert "found 1 runs of PROFILE=smoke, all made" in capsys.readouterr().err and not without_index.exists()


# ---- its script


@pytest.fixture
def made(tmp_path) -> Path:
    """A kit of three pieces, for a Python that nobody has."""
    folder = tmp_path / "kit"
    tree = folder / "tree"
    tree.mkdir(parents=True)
    (tree / "settings.sh").write_text("python_version=9.9 profile=smoke piece=1 left_out= modules=\n")
    (tree / "much").write_bytes(os.urandom(2 * 10**6))
    assert kit._split(folder, 1)[0] == 3
    shutil.copy(Path(kit.__file__).with_name("kit.sh"), folder)
    return folder


def script(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess:
    around = os.environ | {"PYTHON": sys.executable} | environment
    command = ["bash", str(folder / "kit.sh"), *options]
    return subprocess.run(command, cwd=folder.parent, env=around, capture_output=True, text=True)


def test_pieces_may_come_one_after_the_other(made):
    away = made.with_name("away")
    away.mkdir()
    for name in ("kit.tar.001", "kit.tar.002"):
        shutil.move(made / name, away)
    done = script(made)
    assert done.returncode == 3 and "found 1 of 3 pieces" in done.stderr
    assert "bring kit.tar.001 kit.tar.002, then call this again" in done.stderr
    (made / "kit.tar.000").unlink()
    shutil.move(away / "kit.tar.002", made)
    done = script(made)
    assert done.returncode == 3 and "bring kit.tar.001, then" in done.stderr
    (made / "kit.tar.002").unlink()
    shutil.move(away / "kit.tar.001", made)
    done = script(made)
    assert done.returncode == 2 and f"found Python {HERE}, expected 9.9" in done.stderr
    assert "unpacking 3 pieces" in done.stdout and {path.name for path in (made.parent / "fer-kit").iterdir()} == {
        "project"
    }
    (made / "kit.tar.001").unlink()
    done = script(made)  # what is unpacked needs them no more
    assert done.returncode == 2 and "expected 9.9" in done.stderr and "unpacking" not in done.stdout


def test_a_damaged_piece_is_named_and_a_good_one_takes_its_place(made):
    piece = made / "kit.tar.001"
    good = piece.read_bytes()
    piece.write_bytes(good[:-1] + b"x")
    done = script(made)
    assert done.returncode == 4 and "kit.tar.001: found another SHA-256" in done.stderr
    assert "copy it again" in done.stderr and not (made.parent / "fer-kit" / "project").exists()
    piece.write_bytes(good)
    assert "unpacking 3 pieces" in script(made).stdout


def test_another_kit_does_not_go_over_the_first(made):
    script(made)
    with open(made / "SHA256SUMS", "a") as file:
        file.write(f"{'0' * 64}  kit.tar.003\n")
    done = script(made)
    assert done.returncode == 2 and "found another kit than the one beside this script" in done.stderr


def all_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("theirs", ["project/thesis.txt", "site/index.html", "project"])
def test_a_folder_of_somebody_else_is_refused_and_nothing_in_it_deleted(made, theirs):
    home = made.with_name("home")
    for name in (theirs, "pieces/a", "project.partial/b", "site.partial/c", "SHA256SUMS"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("mine")
    before = all_in(home)
    done = script(made, "--into", "home")
    assert done.returncode == 2 and all_in(home) == before
    expected = f"found {theirs.split('/')[0]}, which no kit made, expected a new folder; name another: --into"
    assert expected in done.stderr


def test_what_lies_beside_the_kits_own_stays(made):
    home = made.with_name("home")
    for name in ("pieces/a", "project.partial/b", "site.partial/c", "SHA256SUMS"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("mine")
    before = all_in(home)
    piece = shutil.move(made / "kit.tar.001", made.parent)
    assert script(made, "--into", "home").returncode == 3
    shutil.move(piece, made)
    done = script(made, "--into", "home")
    assert "unpacking 3 pieces" in done.stdout and "expected 9.9" in done.stderr
    assert all_in(home).items() >= before.items()


def test_what_was_cut_off_while_it_unpacked_is_unpacked_again(made):
    (made.parent / "fer-kit" / ".fer-kit.project").mkdir(parents=True)
    (made.parent / "fer-kit" / ".fer-kit.project" / "half").touch()
    assert "unpacking 3 pieces" in script(made).stdout
    assert not (made.parent / "fer-kit" / "project" / "half").exists()


def test_it_may_be_made_in_the_kits_own_folder(made):
    done = script(made, "--into", "kit")
    assert done.returncode == 2 and "unpacking 3 pieces" in done.stdout and "expected 9.9" in done.stderr
    again = script(made, "--into", "kit")
    assert again.returncode == 2 and "unpacking" not in again.stdout and "expected 9.9" in again.stderr


def test_pieces_that_are_no_tar_or_find_no_room_end_with_a_code_of_their_own(made):
    for name in ("kit.tar.000", "kit.tar.001", "kit.tar.002"):
        (made / name).write_bytes(b"x" * 1024)
    sums = hashlib.sha256(b"x" * 1024).hexdigest()
    (made / "SHA256SUMS").write_text("".join(f"{sums}  kit.tar.00{number}\n" for number in range(3)))
    done = script(made)
    assert done.returncode == 5 and "kit.sh: found that a command failed (see above)" in done.stderr
    assert not (made.parent / "fer-kit" / "project").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--minute", "8"], "found the option --minute"),
        (["--minutes"], "--minutes: found no value"),
        (["--minutes", "x"], "--minutes: found x"),
        (["--jobs", "0"], "--jobs: found 0"),
    ],
)
def test_wrong_options_are_refused(made, options, message):
    done = script(made, *options)
    assert done.returncode == 2 and message in done.stderr and not (made.parent / "fer-kit").exists()


def test_the_script_says_how_it_is_called(made):
    done = script(made, "--help")
    assert done.returncode == 0 and "--minutes  all has ended then" in done.stdout and "set -e" not in done.stdout


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not here")
def test_shellcheck_finds_nothing(made):
    subprocess.run(["shellcheck", "--exclude=SC1091,SC2154,SC2086", made / "kit.sh"], check=True)


# ---- its script, with a Python that does nothing but what a test says

STAND_IN = """#!/usr/bin/env bash
case "$*" in
    '-c import sys'*) echo 9.9 ;;
    '-m fer_lib '*) shift 2; echo "$*" >>"$CALLS"; out=$2; eval "${!1:-true}" ;;
esac
"""
ENDED = "echo 'checkpoints.tar: 1 taken, 0 already here, 1 refused.'; exit 1"
"""How ``fer import`` ends that refused something; a test of it below."""


@pytest.fixture
def made_up(tmp_path):
    """A kit of one piece, with checkpoints. Returns what calls its script: of ``import``, ``runs`` and ``export`` each
    does what is given as shell, with ``out`` for the file that is to be packed, else nothing; and the verbs called."""
    folder, python, calls = tmp_path / "kit", tmp_path / "python", tmp_path / "calls"
    tree = folder / "tree"
    (tree / "wheels").mkdir(parents=True)
    (tree / "settings.sh").write_text(
        "python_version=9.9 profile=smoke piece=4 left_out= modules= PRECISION= FER_COMMIT="
    )
    (tree / "checkpoints.tar").write_text("checkpoints")
    kit._split(folder, 1)
    shutil.copy(Path(kit.__file__).with_name("kit.sh"), folder)
    python.write_text(STAND_IN)
    python.chmod(0o755)

    def call(**does: str) -> tuple[subprocess.CompletedProcess, list[str]]:
        calls.write_text("")
        does = {"export": 'echo new >"$out"'} | does
        done = script(folder, "--out", "out", PYTHON=str(python), CALLS=str(calls), **does)
        return done, [line.split()[0] for line in calls.read_text().splitlines()]

    return call


def records_in(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "out").iterdir()}


def test_records_come_in_place_of_older_ones_and_in_parts(made_up, tmp_path):
    done, calls = made_up()
    assert done.returncode == 0 and calls == ["import", "runs", "export"]
    assert records_in(tmp_path) == {"records.tar": "new\n"}
    done, calls = made_up(export='echo larger >"$out"')
    assert done.returncode == 0 and calls == ["runs", "export"]
    assert records_in(tmp_path) == {"records.tar.000": "larg", "records.tar.001": "er\n"}
    assert "there: cat records.tar.* > records.tar, then .venv/bin/fer import" in done.stdout
    assert made_up()[0].returncode == 0 and records_in(tmp_path) == {"records.tar": "new\n"}


@pytest.mark.parametrize("older", [{"records.tar": "old"}, {"records.tar.000": "o", "records.tar.001": "ld"}, {}])
@pytest.mark.parametrize("export", ["exit 1", 'echo half >"$out.partial"; kill -9 $$'])
def test_older_records_stay_where_new_ones_cannot_be_packed(made_up, tmp_path, older, export):
    (tmp_path / "out").mkdir()
    for name, content in older.items():
        (tmp_path / "out" / name).write_text(content)
    done, _ = made_up(export=export)
    assert done.returncode == 5 and "records could not be packed (see above)" in done.stderr
    assert records_in(tmp_path) == older and "take home" not in done.stdout


def test_older_records_stay_where_new_ones_cannot_be_split(made_up, tmp_path):
    made_up()
    done, _ = made_up(export='head -c 5000 /dev/zero >"$out"')  # more than 1000 parts of 4 bytes
    assert done.returncode == 5 and records_in(tmp_path) == {"records.tar": "new\n"}


def test_what_was_cut_off_while_it_packed_is_not_in_the_way(made_up, tmp_path):
    (tmp_path / "out" / ".fer-kit.records").mkdir(parents=True)
    (tmp_path / "out" / ".fer-kit.records" / "records.tar.007").touch()
    assert made_up()[0].returncode == 0 and records_in(tmp_path) == {"records.tar": "new\n"}


@pytest.mark.parametrize("does", [{"runs": "exit 1"}, {"export": 'echo new >"$out"; exit 1'}, {"import": ENDED}])
def test_records_are_packed_where_a_run_failed_or_something_was_refused_or_left_out(made_up, tmp_path, does):
    done, calls = made_up(**does)
    assert done.returncode == 1 and calls == ["import", "runs", "export"]
    assert records_in(tmp_path) == {"records.tar": "new\n"}


def test_checkpoints_wait_for_the_next_call_where_they_could_not_be_put_in_place(made_up, tmp_path):
    project = tmp_path / "fer-kit" / "project"
    for _ in range(2):
        done, calls = made_up(**{"import": "echo 'error: results: No space left on device' >&2; exit 1"})
        assert done.returncode == 5 and calls == ["import"] and "make room, then call this again, or" in done.stderr
        assert (project / "checkpoints.tar").read_text() == "checkpoints"
    done, calls = made_up(**{"import": ENDED})
    assert done.returncode == 1 and "runs whose checkpoint was refused begin anew" in done.stdout
    assert (project / "checkpoints.taken.tar").read_text() == "checkpoints"
    assert made_up()[1] == ["runs", "export"]


def test_an_import_that_refused_something_ends_as_the_script_expects(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    (tmp_path / "checkpoints.tar").write_text("no tar")
    assert main(["import", str(tmp_path / "checkpoints.tar")]) == 1
    assert re.search(r"checkpoints\.tar: 0 taken, 0 already here, 1 refused\.\n$", capsys.readouterr().out)


# ---- all of it

ALONE = """
import fcntl, os, socket, struct, sys
lo = struct.pack("16sh", b"lo", 0x41)  # up and running, as on any machine; kernels are talked to through it
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8914, lo)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Starts a command in a network of its own, which has nothing but itself."""


def no_network(folder: Path) -> tuple[list[str], dict[str, str]]:
    """What comes before a command, and around it, so that it reaches no network."""
    if not subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode:
        return ["unshare", "-rn", sys.executable, "-c", ALONE], {}
    nowhere = {f"{name}_proxy": "http://127.0.0.1:9" for name in ("http", "https", "all")}
    return [], nowhere | {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a kit is for Linux")
def test_a_run_is_made_in_a_clean_folder_without_network_and_taken_home(tmp_path, monkeypatch, capsys):
    made, away = tmp_path / "made", tmp_path / "away"
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "home")
    command = ["kit", str(made), "--profile", "smoke", "--only", ROW, "--python", HERE, "--size", "60"]
    code = provenance.code()
    if main(command):
        why = capsys.readouterr().err
        assert "pip" in why
        pytest.skip(f"wheels cannot be had here: {why}")
    shutil.copytree(made, away / "kit")
    shutil.rmtree(made)
    subprocess.run([sys.executable, "-m", "venv", away / "clean"], check=True)  # a Python with pip and nothing else
    before, around = no_network(away)
    keep = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    call = [*before, "bash", "kit/kit.sh", "--minutes", "8", "--jobs", "2"]
    options = {"cwd": away, "env": keep | around | {"PYTHON": str(away / "clean" / "bin" / "python")}}
    done = subprocess.run(call, **options, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 done, 0 under way, 0 left" in done.stdout and "records.tar" in done.stdout.splitlines()[-1]
    for piece in (away / "kit").glob("kit.tar.*"):
        piece.unlink()
    again = subprocess.run(call, **options, capture_output=True, text=True, timeout=900)
    assert again.returncode == 0 and "All runs are there: nothing to do." in again.stdout
    assert "unpacking" not in again.stdout and "installing" not in again.stdout

    run = runs.run(ROW, 0, "smoke", "jax")
    assert plan.are_current([run]) == [False]
    assert main(["import", str(away / "records.tar")]) == 0
    assert plan.are_current([run]) == [True]
    record = json.loads((run.folder / "metrics.json").read_text())
    assert record["code"] == code and record["backend"] == "jax"
