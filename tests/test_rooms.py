"""The house: a folder of ``fer_lib`` imports only from those above it, and what starts at once waits for no engine."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fer_lib import paths

HOUSE = paths.ROOT / "fer_lib"
ROOMS = ("files", "data", "models", "evaluation", "training", "live", "claims", "report", "runs")
"""From the top down."""
HELPERS = {"paths", "system", "markdown"}
"""Of everybody."""


def imported(path: Path) -> set[str]:
    """What a module imports of ``fer_lib``: names of rooms and of modules at its root."""
    package, found = path.relative_to(HOUSE.parent).parts[:-1], set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            names = [f"{module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("fer_lib.")}
    return found


def rooms() -> list[tuple[str, Path]]:
    """Every module below a room, with the room's name."""
    return [(path.relative_to(HOUSE).parts[0], path) for path in sorted(HOUSE.glob("*/**/*.py"))]


def test_each_room_imports_only_from_those_above_it():
    wrong = []
    for room, path in rooms():
        above = {*ROOMS[: ROOMS.index(room) + 1], *(HELPERS if room != "files" else ())}
        wrong += [f"{path.relative_to(HOUSE)} imports {name}" for name in imported(path) - above]
    assert wrong == []


def test_the_rooms_are_all_and_the_root_is_small():
    assert {room for room, _ in rooms()} == set(ROOMS)
    at_root = {path.stem for path in HOUSE.glob("*.py")}
    assert at_root == {*HELPERS, "__init__", "__main__"}
    for name in HELPERS:
        assert imported(HOUSE / f"{name}.py") <= {*HELPERS, "files"}


def test_only_runs_know_papermill():
    know = [path for room, path in rooms() if room != "runs" and "import papermill" in path.read_text()]
    assert know == []


OPENERS = r"cv2\.(imread|imdecode|imwrite|imencode|VideoWriter)\b|\bnp\.load\(|\bcsv\.reader\(|\byaml\.\w*load\("
"""What reads or writes a file of a kind that a module of ``files`` is for."""


def test_each_kind_of_file_is_opened_in_one_place():
    found = {}
    for room, path in rooms():
        calls = {match[0] for match in re.finditer(OPENERS, path.read_text())}
        if room != "files" and calls:
            found[path.relative_to(HOUSE).as_posix()] = calls
    assert found == {}


def test_the_tests_stand_in_the_same_folders():
    folders = {path.parent.name for path in (paths.ROOT / "tests").glob("*/test_*.py")}
    assert folders == {*ROOMS, "bench", "web"}


@pytest.mark.parametrize("module", ["fer_lib.runs.make", "fer_lib.report.show", "fer_lib.live.command"])
def test_what_starts_at_once_waits_for_no_engine(module):
    slow = {"keras", "tensorflow", "jax", "torch", "sklearn", "jsonschema"}
    code = f"import sys, {module}; print(*{slow} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def imports(notebook: str) -> list[str]:
    """The lines of a notebook that import something."""
    cells = json.loads((paths.NOTEBOOKS / f"{notebook}.ipynb").read_text())["cells"]
    lines = "".join("".join(cell["source"]) + "\n" for cell in cells if cell["cell_type"] == "code").split("\n")
    return [line for line in lines if line.startswith(("import ", "from "))]


@pytest.mark.parametrize("notebook", ["2_decision_tree", "3_train_network"])
def test_a_training_needs_little_where_there_is_no_network(notebook):
    """A borrowed GPU has Keras, JAX, scikit-learn and papermill, and not what only reports and cameras need."""
    code = "\n".join([*imports(notebook), "import sys; print(*sys.modules)"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unneeded = {"statsmodels", "bs4", "nbconvert", "av", "onnxruntime", "snakemake", "fer_lib.live"}
    assert not unneeded & set(done.stdout.split())


@pytest.mark.slow
def test_opencv_5_which_has_no_haar_cascades_stops_no_notebook():
    lines = [line for path in sorted(paths.NOTEBOOKS.glob("*.ipynb")) for line in imports(path.stem)]
    assert any("live" in line for line in lines)
    code = "\n".join(["import cv2", "del cv2.CascadeClassifier", *lines, "import fer_lib.live.detectors"])
    subprocess.run([sys.executable, "-c", code], check=True)
