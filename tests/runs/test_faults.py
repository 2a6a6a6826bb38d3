"""What a study does when the machine, its user or its files do what they should not. ``make test-faults`` does more."""

import json
import time

import pytest

from fer_lib import paths, runs
from fer_lib.runs import notebooks, plan

TREE = "saravanan2019/table1_decision_tree"


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """Makes a notebook of a cell of parameters and of these cells, and gives where it can be executed into."""
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)

    def make(*cells: str):
        sources = {"parameters": "x = 1", **{f"cell {k}": cell for k, cell in enumerate(cells)}}
        content = [
            {"cell_type": "code", "id": tag.replace(" ", ""), "metadata": {"tags": [tag]}, "source": source,
             "outputs": [], "execution_count": None}
            for tag, source in sources.items()
        ]  # fmt: skip
        language = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
        text = json.dumps({"cells": content, "metadata": language, "nbformat": 4, "nbformat_minor": 5})
        (tmp_path / "notebook.ipynb").write_text(text)
        return tmp_path / "made" / "run.ipynb"

    return make


def test_a_notebook_that_hangs_is_ended_however_deep_it_hangs(notebook):
    """In C, without letting any other thread of its kernel run."""
    holds_all = "import ctypes; print('before', flush=True); ctypes.PyDLL(None).sleep(600)"
    output, started = notebook("print('first')", holds_all, "print('never')"), time.monotonic()
    failed = notebooks.execute("notebook", output, {}, limit=4.0)
    assert time.monotonic() - started < 60
    assert failed["cell"] == 4 and failed["source"] == holds_all
    assert failed["error"].startswith(f"{notebooks.LIMIT}: found it still at work after 00:00:04, expected its end")
    assert "raise limit_hours (expect, experiments/" in failed["error"] and "the next call goes on" in failed["error"]
    assert "before" in output.read_text() and "never\\n" not in output.read_text()


def test_a_limit_that_is_over_before_the_kernel_stands_ends_it_too(notebook):
    failed = notebooks.execute("notebook", notebook("import time; time.sleep(600)"), {}, limit=0.01)
    assert failed["error"].startswith(notebooks.LIMIT)


def test_a_run_may_take_ten_times_as_long_as_expected_and_two_hours_at_least(monkeypatch):
    known = runs.experiments()

    def limit(name, **expect):
        experiment = known[name] | {"expect": known[name]["expect"] | expect}
        return plan.limit(runs.from_experiment(name, experiment, 0, "full"))

    assert limit(TREE, hours_cpu=0.01, hours_gpu=0.01) == plan.LEAST_LIMIT == 2
    long = limit("saravanan2019/table5_adam_128", hours_cpu=3, hours_gpu=0.5)
    assert long == pytest.approx(10 * (3 + plan.START)), "a machine whose GPU the engine does not use is no error"
    assert limit("saravanan2019/table5_adam_128", limit_hours=0.5) == 0.5


def test_what_took_too_long_is_tried_again(tmp_path, monkeypatch):
    """As on a cluster, where another machine may be faster: it goes on from its checkpoint with all of the time."""
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    run = runs.run(TREE, 0, "smoke")
    run.unfinished.mkdir(parents=True)
    failed = notebooks._over_the_limit({"cells": []}, 7200, TREE, "it printed no error") | {"cell": 4}
    (run.unfinished / "failure.json").write_text(json.dumps(failed))
    assert runs.failure(run).startswith(f"cell 4: {notebooks.LIMIT}") and not runs.failed_for_good(run)
