"""What a study does when the machine, its user or its files do what they should not. ``make test-faults`` does more."""

import dataclasses
import errno
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import faults
import made_up_records
import numpy as np
import pytest

from fer_lib import data, paths, runs, system
from fer_lib.__main__ import main
from fer_lib.evaluation import records, unpacked
from fer_lib.files import writing
from fer_lib.report import parts
from fer_lib.runs import make, notebooks, plan, transport
from fer_lib.training import checkpoints
from fer_lib.training.protocol import Protocol

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
    failed = notebooks.execute("notebook", output, {}, limit=10.0)
    assert time.monotonic() - started < 60
    assert failed["cell"] == 4 and failed["source"] == holds_all
    assert failed["error"].startswith(f"{notebooks.LIMIT}: found it still at work after 00:00:10, expected its end")
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
    for has_gpu in (False, True):
        monkeypatch.setattr(system, "has_gpu", lambda has_gpu=has_gpu: has_gpu)
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


def test_a_record_on_some_of_fer2013s_rows_keeps_their_ids_and_can_travel():
    """FER+ leaves rows out, and so has ids beyond its count of rows: ``export`` refused such a record."""
    records.check(records.read(paths.RESULTS / "runs" / "related" / "li2018_ferplus" / "tensorflow-seed0"))


def turned(path, place: int = -1) -> None:
    """Let a bit of a file be turned, but nothing that a look at its length or times would tell."""
    times, content = path.stat(), bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "split.npy"])
def test_a_bit_that_turned_in_the_cache_is_never_trained_on(few_faces, monkeypatch, name):
    folder = paths.CACHE / "kept"
    arrays = few_faces.images, few_faces.labels, few_faces.split
    data.keep_arrays(folder, arrays, {})
    turned(folder / name)
    assert data.kept_arrays(folder) is None
    turned(folder / name)
    assert data.kept_arrays(folder)


def test_what_was_killed_while_it_filled_the_cache_leaves_nothing_for_good(few_faces):
    arrays, folder = (few_faces.images, few_faces.labels, few_faces.split), paths.CACHE / "kept"
    fill = "import os, pathlib, sys; from fer_lib import data\nwith data._filling(pathlib.Path(sys.argv[1])) as new:\n"
    fill += "    new.mkdir(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", fill, str(folder)], cwd=paths.ROOT, check=False)
    assert len(list(paths.CACHE.glob(".kept.*.partial"))) == 1
    data.keep_arrays(folder, arrays, {})
    assert {path.name for path in paths.CACHE.iterdir()} == {"kept", ".kept.lock"}


def test_who_waited_for_another_to_fill_the_cache_does_not_do_the_work_again(tmp_path):
    with data._filling(tmp_path / "kept") as new:
        new.mkdir()
    with pytest.raises(FileExistsError), data._filling(tmp_path / "kept"):
        pytest.fail("it is there already")


def test_a_record_that_was_being_put_in_place_is_exported_and_planned_as_whole(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    run = runs.run("saravanan2019/table1_feedforward", 0, "full", "tensorflow")
    made_up_records.network(tmp_path, 0, lambda labels: made_up_records.answers(labels, 3), parameters=run.parameters)
    whole = run.folder / records.WHOLE
    whole.mkdir()
    for name in ("predictions.npz", "metrics.json"):
        (run.folder / name).rename(whole / name)
    (whole / "run.ipynb").write_text('{"cells": []}')
    assert records.load(tmp_path) == []
    assert transport.export_records(tmp_path / "records.tar") == 0
    assert "packed     runs/saravanan2019/table1_feedforward/tensorflow-seed0" in capsys.readouterr().out
    assert len(records.load(tmp_path)) == 1 and not whole.exists()


def test_what_was_killed_while_it_wrote_a_file_leaves_nothing_for_good(tmp_path):
    write = "import os, pathlib, sys; from fer_lib.files import writing\n"
    write += "with writing.replacing(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", write, str(tmp_path / "page")], cwd=paths.ROOT, check=False)
    (left,) = tmp_path.iterdir()
    living = left.with_name(left.name.replace(re.search(r"-(\d+)-\d+\.partial", left.name)[1], str(os.getpid())))
    living.touch()  # what somebody is writing is not touched
    writing.replace_text(tmp_path / "page", "new")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "page", living])


def test_a_bit_that_turned_in_an_unpacked_copy_is_never_scored(tmp_path, monkeypatch):
    arrays = {"ids": np.arange(5, dtype=np.int32), "classes_last": np.arange(5, dtype=np.uint8)}
    for sha256 in ("a" * 64, "b" * 64):
        unpacked.write(tmp_path / unpacked._name(sha256), arrays)
        turned(tmp_path / unpacked._name(sha256), -6)
        assert unpacked.read(tmp_path, sha256) is None
    unpacked.write(tmp_path / unpacked._name("c" * 64), arrays)
    (tmp_path / unpacked._name("c" * 64)).rename(tmp_path / unpacked._name("d" * 64))
    assert unpacked.read(tmp_path, "d" * 64) is None, "it is that of another file"
    unpacked.write(tmp_path / unpacked._name("e" * 64), arrays)
    assert (unpacked.read(tmp_path, "e" * 64)["ids"] == arrays["ids"]).all()


def put_new_over_old(tmp_path) -> tuple:
    """A whole record in one folder, an older one in another."""
    new = made_up_records.network(tmp_path / "new", 0, lambda labels: made_up_records.answers(labels, 3))["folder"]
    old = made_up_records.network(tmp_path / "old", 0, lambda labels: made_up_records.answers(labels, 5))["folder"]
    return new, old


def test_where_a_folder_cannot_be_flushed_the_record_counts(tmp_path, monkeypatch):
    new, old = put_new_over_old(tmp_path)
    flush = os.fsync

    def of_files(opened):
        if Path(f"/proc/self/fd/{opened}").is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        flush(opened)

    monkeypatch.setattr(os, "fsync", of_files)
    records.put(new, old)
    records.check(records.read(old))
    assert not (old / records.WHOLE).exists()


def test_nothing_of_half_a_record_stays_beside_a_whole_one(tmp_path):
    new, old = put_new_over_old(tmp_path)
    (old / "metrics.json").unlink()
    for name in (records.NETWORK, "run.ipynb"):
        (old / name).write_text("of an older run")
    records.put(new, old)
    assert sorted(path.name for path in old.iterdir()) == ["metrics.json", "predictions.npz"]


def test_a_record_goes_to_another_disk_too(tmp_path, monkeypatch):
    """As where ``results/runs`` is a link to a larger one: the older record was deleted, and the new one not put."""
    new, old = put_new_over_old(tmp_path)
    wanted = (new / "metrics.json").read_bytes()

    def on_another_disk(source, target):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source))

    monkeypatch.setattr(os, "link", on_another_disk)
    records.put(new, old)
    monkeypatch.undo()
    assert (old / "metrics.json").read_bytes() == wanted
    assert sorted(path.name for path in old.iterdir()) == ["metrics.json", "predictions.npz"]
    records.check(records.read(old))


def test_what_the_last_report_was_made_from_is_not_checked_again_until_it_or_the_code_changes(tmp_path, monkeypatch):
    """Ten thousand records take 20 seconds."""
    checked = []
    monkeypatch.setattr(records, "check", lambda record: checked.append(record["folder"].name))
    monkeypatch.setattr(make, "_stamp", lambda profile: tmp_path / "stamp")
    those = [{"folder": paths.ROOT / name} for name in ("one", "two")]
    inputs = "1  one/metrics.json\n2  two/metrics.json\n3  fer_lib/evaluation/records.py"
    made = [inputs, inputs, inputs.replace("2  ", "4  "), inputs.replace("3  ", "5  ")]
    for now, expected in zip(made, (["one", "two"], [], ["two"], ["one", "two"])):
        make._check(those, now, "full")
        assert checked == expected, now
        checked.clear()
        (tmp_path / "stamp").write_text(inputs)


def test_a_full_disk_is_no_fault_of_an_archive(tmp_path, monkeypatch, capsys):
    """It ends the import, with what was taken until then; it was "refused", as if the archive were damaged."""
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "there")
    for seed in (0, 1):
        made_up_records.network(paths.RESULTS, seed, lambda labels: made_up_records.answers(labels, 3))
    folder = tmp_path / "unpacked"
    names = {"runs/a/b/tensorflow-seed0", "runs/a/b/tensorflow-seed1", "runs/a/b/tensorflow-seed2"}
    monkeypatch.setattr(transport, "_unpack", lambda *_: (names, {}))

    def take(place, name, force):
        if name.endswith("1"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        return True

    monkeypatch.setattr(transport, "_take_record", take)
    (tmp_path / "in.tar").touch()
    assert main(["import", str(tmp_path / "in.tar")]) == 1
    printed = capsys.readouterr()
    assert "1 taken, 0 already here, 0 refused, 2 left." in printed.out and "refused  " not in printed.out
    assert f"error: {folder}: found no space left on device, expected room for what is written" in printed.err


def test_a_failed_run_is_named_once(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    run = runs.run(TREE, 0, "smoke")
    run.unfinished.mkdir(parents=True)
    (run.unfinished / "failure.json").write_text('{"cell": 4, "error": "ValueError: no", "source": ""}')
    assert make._remark("FAILED", run) == ": cell 4: ValueError: no"


def test_the_report_believes_no_score_that_its_predictions_do_not_have(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    record = made_up_records.network(tmp_path, 0, lambda labels: made_up_records.answers(labels, 3))
    metrics = record["folder"] / "metrics.json"
    content = json.loads(metrics.read_text())
    content["metrics"]["last"]["PrivateTest"]["correct"] += 1
    metrics.write_text(json.dumps(content))
    monkeypatch.setattr(make, "report_inputs", lambda profile: "")
    with pytest.raises(
        ValueError, match=r"seed0/predictions.npz: on .*PrivateTest .* they score .*; restore the record"
    ):
        make.report("full")
    assert not (tmp_path / "report.html").exists()


def test_a_bit_that_turned_in_the_history_of_a_checkpoint_is_noticed(tmp_path):
    """It went on into the record: only the other files of a checkpoint had checksums."""
    identity = {"protocol": dataclasses.asdict(Protocol()), "seed": 0, "data": "5ca1ab1e", "backend": "jax"}
    facts = {"history": [{"epoch": 1, "loss": 1.2345678901234567, "seconds": float("nan")}], "best_epoch": 1}
    facts |= {"seconds": 2.0, "identity": identity}

    class Model:
        def save_weights(self, path):
            path.write_bytes(b"weights")

    checkpoints.save(tmp_path, Model(), {"last": np.zeros((2, 7), np.float32)}, facts)
    assert checkpoints._read(tmp_path / "checkpoint-0001", identity)[0]["history"][0]["loss"] == 1.2345678901234567
    state = tmp_path / "checkpoint-0001" / "state.json"
    state.write_text(state.read_text().replace("1.2345678", "1.2345679"))
    with pytest.raises(ValueError, match="state.json: found SHA-256 .*; the run goes on without it"):
        checkpoints._read(tmp_path / "checkpoint-0001", identity)


@pytest.mark.parametrize("part", faults.PARTS)
def test_the_trial_that_the_docs_tell_of_lost_no_record_and_made_none_twice(part):
    first, last = parts.marks(f"make test-faults PART={part}")
    block = parts.ROBUSTNESS.read_text().split(first)[1].split(last)[0]
    rows = re.findall(r"^\|(.+)\|$", block, re.MULTILINE)[2:]
    assert rows, f"no whole trial was written into {parts.ROBUSTNESS.name}: make test-faults PART={part} KEEP=1"
    cells = [[cell.strip() for cell in row.split("|")] for row in rows]
    tried = {
        "kills": {*(f"kill -9: {role}" for role in faults.ROLES), "the end of a grid"},
        "sweeps": {f"{how} an operation{on}: {piece}" for piece in faults.PIECES
                   for how, on in (("ended before", ""), ("no room from", " on"))},
        "scenarios": {*faults.CASES},
    }[part]  # fmt: skip
    untried = " ".join(re.findall(r"^Not tried, .+", block, re.MULTILINE))
    assert {what for what in tried if what not in untried} == {cell[0] for cell in cells}
    for _, moments, survived, lost, doubled in cells:
        assert int(moments) == int(survived) > 0 and int(lost) == int(doubled) == 0
    assert re.search(r"^\d{4}-\d\d-\d\d, seed \d+, \d+ cores, \d+ minutes\.\n\Z", block, re.MULTILINE)


def test_a_trial_notices_a_record_that_a_fault_loses_though_the_next_call_makes_it_anew(tmp_path):
    """It looked at what is there only after the fault, and so noticed nothing."""
    folder = made_up_records.network(tmp_path, 0, lambda labels: made_up_records.answers(labels, 5))["folder"]
    before = faults.kept(tmp_path)
    assert len(before) == 1 and faults.compared(before, tmp_path) == (0, 0)
    metrics = (folder / "metrics.json").read_bytes()
    (folder / "metrics.json").write_bytes(metrics[:-9])
    assert faults.compared(before, tmp_path) == (1, 0), "half a record is none"
    (folder / "metrics.json").write_bytes(metrics.replace(b'"seconds": 90.0', b'"seconds": 91.0'))
    assert faults.compared(before, tmp_path) == (0, 1), "whole, but another"
    (folder / "metrics.json").unlink()
    assert faults.compared(before, tmp_path) == (1, 0)


@pytest.mark.parametrize("careless", [False, True])
def test_a_sweep_notices_a_put_that_deletes_the_old_record_first(tmp_path, monkeypatch, careless):
    """Killed before each of its operations, as in a sweep, but without a study around it."""
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    sweep = faults.Sweep("put over a record", tmp_path / "study", lambda: None)
    results = sweep.folder / "results" / "local" / "smoke"
    old = made_up_records.network(results, 0, lambda labels: made_up_records.answers(labels, 5))["folder"]
    new = made_up_records.network(sweep.folder / "new", 0, lambda labels: made_up_records.answers(labels, 3))["folder"]

    def put() -> None:
        if careless:
            (old / "metrics.json").unlink()
        records.put(new, old)

    sweep.folder.rename(sweep.start)
    before, lost, events = faults.kept(sweep.start / "results" / "local" / "smoke"), 0, []
    for number in range(1, 100):
        sweep.prepare()
        status, _, text = sweep.child(put, number)
        if not status:
            break
        events.append(text)
        lost += sweep.after_the_fault(before)[0]
    assert len(before) == 1 and any(event.startswith("os.link") for event in events)
    assert (lost > 0) == careless


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--keep", "--only", "a network"], r"--keep: found single cases \(a network\), expected whole parts"),
        (["--only", "kills,nothing of it"], "--only: found 'nothing of it', expected some of kills, sweeps, scenarios"),
        (["--moments", "0"], "--moments: found 0, expected 1 or more"),
    ],
)
def test_a_trial_refuses_what_it_cannot_do(arguments, said, capsys):
    with pytest.raises(SystemExit):
        faults.asked_for(arguments)
    assert re.search(said, capsys.readouterr().err)


def test_a_trial_that_is_kept_may_be_of_some_parts_or_of_all():
    assert faults.asked_for(["--keep"]).only == [*faults.PARTS]
    assert faults.asked_for(["--keep", "--only", "kills, sweeps"]).only == ["kills", "sweeps"]


def test_a_process_that_a_cluster_ends_says_so_at_once():
    end = "import os, signal; from fer_lib.__main__ import ready_streams, telling_the_end; ready_streams()\n"
    end += "with telling_the_end(): os.kill(os.getpid(), signal.SIGTERM)"
    done = subprocess.run([sys.executable, "-c", end], cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-15, "ended by SIGTERM; call the same command again\n")
