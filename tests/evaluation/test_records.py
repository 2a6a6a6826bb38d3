"""Records: whole or not at all, read only when whole, current by parameters and data."""

import json
import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer_lib import paths
from fer_lib.data import Faces, audit, near_duplicates
from fer_lib.evaluation import metrics, provenance, records
from fer_lib.training import batches

PARAMETERS = {"data": "drawn_faces", "seed": 0, "loss": "logits", "precision": "float32"}
DEFAULTS = PARAMETERS | {"seed": 7}  # of the notebook


@pytest.fixture
def made(few_faces, tmp_path):
    """A record of random logits, written; (folder, record, arrays)."""
    evaluated = few_faces.select(few_faces.rows("PublicTest+PrivateTest"))
    logits = np.random.default_rng(0).normal(size=(28, 7)).astype(np.float32)
    record, arrays = records.assemble(
        experiment="study/name", title="Name", profile="smoke", parameters=PARAMETERS, faces=few_faces,
        evaluated=evaluated, kept={"last": {"epoch": 3, "logits": logits}}, backend="numpy", device=records.cpu(),
        seconds=1.0,
    )  # fmt: skip
    folder = tmp_path / "runs" / "study" / "name" / "numpy-seed0"
    records.write(folder, record, arrays)
    return folder, record, arrays


def test_a_record_comes_back_as_written(made, few_faces):
    folder, record, arrays = made
    (read,) = records.load(folder.parents[3])
    assert read["metrics"] == record["metrics"]
    assert read["data"]["sha256"] == few_faces.sha256
    kept = records.predictions(read)
    assert kept["probabilities_last"].dtype == np.float16
    np.testing.assert_array_equal(kept["classes_last"], arrays["classes_last"])
    score = read["metrics"]["last"]["PublicTest+PrivateTest"]
    assert score["correct"] == int((kept["classes_last"] == kept["labels"]).sum())
    assert not list(folder.glob("*partial*"))


def test_a_record_tells_code_versions_and_device(made):
    record = made[1]
    assert record["versions"]["numpy"] == np.__version__
    assert record["device"]["kind"] == "cpu"
    assert record["peak_memory_bytes"] > 1e7
    assert set(record["code"]) == {"commit", "dirty"}


def test_without_git_the_commit_is_handed_in(monkeypatch):
    monkeypatch.setenv("FER_COMMIT", "abc123")
    assert provenance.code() == {"commit": "abc123", "dirty": False}


def test_changed_predictions_are_found_out(made):
    folder, _, arrays = made
    np.savez_compressed(folder / "predictions.npz", **arrays | {"ids": arrays["ids"] + 1})
    with pytest.raises(ValueError, match=r"predictions.npz: found SHA-256 \w+, expected \w+ from metrics.json"):
        records.read(folder)


def put_until(moment: int, new: Path, folder: Path) -> bool:
    """Put a record in place in a process of its own, which ends before that file operation; whether it came so far."""
    changes, child = count(), os.fork()
    if not child:
        kinds = ("os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir")
        sys.addaudithook(lambda event, _: os._exit(9) if event in kinds and next(changes) == moment else None)
        records.put(new, folder)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize("older", [True, False])
def test_killed_at_any_moment_while_it_is_put_in_place_a_record_is_the_old_or_the_new_one(made, tmp_path, older):
    folder, record, arrays = made
    (folder / records.NETWORK).write_bytes(b"the old network")
    (folder / "run.ipynb").write_text("the old notebook")
    kept, new, seen = tmp_path / "kept", tmp_path / "new", []
    shutil.copytree(folder, kept)
    for moment in count():
        shutil.rmtree(folder)
        if older:
            shutil.copytree(kept, folder)
        shutil.rmtree(new, ignore_errors=True)
        records.write(new, record | {"seconds": 2.0}, arrays | {"ids": arrays["ids"] + 1})
        (new / "run.ipynb").write_text("the new notebook")
        ended = put_until(moment, new, folder)
        loaded = records.load(folder.parents[3])  # what is half there counts as nothing
        assert all(each["seconds"] in (2.0, record["seconds"]) for each in loaded)
        records.put_to_the_end(folder)
        if not (folder / "metrics.json").exists():
            assert not older and (new / "metrics.json").exists() and (new / "predictions.npz").exists()
        else:
            is_new = records.read(folder)["seconds"] == 2.0
            assert is_new or older
            assert (folder / "run.ipynb").read_text() == ("the new notebook" if is_new else "the old notebook")
            assert (folder / records.NETWORK).exists() != is_new
            seen.append(is_new)
        records.put_to_the_end(folder)
        if not ended:
            break
        if (new / "predictions.npz").exists() and (new / "metrics.json").exists():
            records.put(new, folder)  # as the run does that is made again
            assert records.read(folder)["seconds"] == 2.0
        assert {path.name for path in folder.iterdir()} == {"metrics.json", "predictions.npz", "run.ipynb"}
    assert moment > 10 and True in seen and (False in seen) == older
    assert list(new.iterdir()) == []


def test_a_kept_network_goes_with_its_record_and_never_stays_with_another(made, tmp_path):
    folder, record, arrays = made
    for name, seconds in (("with", 2.0), ("without", 3.0)):
        new = tmp_path / name
        records.write(new, record | {"seconds": seconds}, arrays)
        (new / "run.ipynb").write_text("{}")
        if name == "with":
            (new / records.NETWORK).write_bytes(b"a network")
        records.put(new, folder)
        assert (folder / records.NETWORK).exists() == (name == "with")
        assert records.read(folder)["seconds"] == seconds


@pytest.mark.parametrize("content", ["", "{", "[]", "1", '"schema"', "null", "\\udcff", "[" * 10**5, '{"schema": 1}'])
def test_a_broken_metrics_file_is_named_and_not_current(made, few_faces, content):
    folder = made[0]
    (folder / "metrics.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"metrics.json.*: found .*, expected .*; delete the folder to run it again"):
        records.read(folder)
    assert not records.is_current(folder, PARAMETERS, few_faces.sha256, DEFAULTS)


@pytest.mark.parametrize("name", ["name", "sha256", "source", "rows"])
def test_a_record_that_does_not_say_of_what_data_it_is_is_refused(made, few_faces, name):
    path = made[0] / "metrics.json"
    content = json.loads(path.read_text())
    for changed in (
        {**content["data"], name: 1},
        {key: content["data"][key] for key in content["data"] if key != name},
    ):
        path.write_text(json.dumps(content | {"data": changed}))
        with pytest.raises(ValueError, match=f"metrics.json: found data without {name}, expected"):
            records.read(made[0])
        assert not records.is_current(made[0], PARAMETERS, few_faces.sha256, DEFAULTS)


def test_another_schema_is_refused(made):
    path = made[0] / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    with pytest.raises(ValueError, match="found schema 99, expected 1"):
        records.read(made[0])


def test_current_means_same_parameters_and_same_data(made, few_faces):
    folder = made[0]
    assert records.is_current(folder, PARAMETERS, few_faces.sha256, DEFAULTS)
    assert not records.is_current(folder, PARAMETERS | {"seed": 1}, few_faces.sha256, DEFAULTS)
    assert not records.is_current(folder, PARAMETERS, "0" * 64, DEFAULTS)
    (folder / "predictions.npz").unlink()
    assert not records.is_current(folder, PARAMETERS, few_faces.sha256, DEFAULTS)


def test_a_record_of_uncommitted_or_unknown_code_is_flagged():
    data = {"name": "drawn_faces"}
    assert provenance.stale({"code": {"commit": None, "dirty": True}, "data": data}) == ["ran from uncommitted changes"]
    if provenance.git("rev-parse", "HEAD"):
        (reason,) = provenance.stale({"code": {"commit": "0" * 40, "dirty": False}, "data": data})
        assert "not in this history" in reason


def test_scores_by_hand():
    score = metrics.score(np.array([3, 3, 3, 0]), np.array([3, 0, 3, 0]), np.array([0.0, 1.0, 0.0, 1.0]))
    assert score["correct"] == 3
    assert score["accuracy"] == 0.75
    assert score["loss"] == 0.5
    assert score["predicted"] == [1, 0, 0, 3, 0, 0, 0]
    assert score["recall"] == [0.5, None, None, 1.0, None, None, None]
    with pytest.raises(ValueError, match="no row to score"):
        metrics.score(np.array([], int), np.array([], int))


def test_comments_and_docstrings_are_no_change_of_code_but_a_number_is():
    before = 'def f(x):\n    """Old words."""\n    return x + 1\n'
    assert provenance._meaning(before, "a.py") == provenance._meaning(
        "def f(x):\n    # new words\n    return x + 1\n", "a.py"
    )
    assert provenance._meaning(before, "a.py") != provenance._meaning("def f(x):\n    return x + 2\n", "a.py")


class History:
    """A repository of its own: text is written to files of ``fer_lib`` in it, and committed."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "fer_lib").mkdir()
        self.git("init", "-q")

    def git(self, *arguments):
        return subprocess.run(["git", "-C", self.folder, *arguments], check=True, capture_output=True, text=True).stdout

    def write(self, name, text):
        path = self.folder / "fer_lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        provenance._changed_since.cache_clear()

    def commit(self, message):
        self.git("add", "-A")
        self.git("-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "-m", message)
        provenance._changed_since.cache_clear()
        return self.git("rev-parse", "HEAD").strip()


@pytest.fixture
def history(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance.paths, "ROOT", tmp_path)
    yield History(tmp_path)
    provenance._changed_since.cache_clear()


def test_a_commit_that_says_that_it_changes_no_number_makes_no_record_stale(history):
    def commit(source, message):
        history.write("training/loop.py", source)
        return history.commit(message)

    record = {"code": {"commit": commit("x = 1\n", "First"), "dirty": False}}
    assert provenance.stale(record) == []
    commit("x = 1  # one\n", "A comment")
    assert provenance.stale(record) == []
    commit("x = 1 + 0\n", "Rewritten\n\nSame numbers: one is one.")
    assert provenance.stale(record) == []
    history.write("training/loop.py", "x = 3\n")
    assert provenance.stale(record) == ["changed since: fer_lib/training/loop.py"]
    later = commit("x = 2\n", "Another number")
    assert provenance.stale(record) == ["changed since: fer_lib/training/loop.py"]
    assert provenance.stale({"code": {"commit": later, "dirty": False}}) == []


@pytest.mark.parametrize("kind", [{}, {"sweep": []}])
@pytest.mark.parametrize(
    "name, why",
    [
        ("data/audit.py", "which rows leak: a training may leave them out, and a score of clean rows always does"),
        ("training/batches.py", "which targets an epoch samples of FER+'s taggers"),
        ("evaluation/metrics.py", "from which share of the rows on a network is called collapsed"),
    ],
)
def test_a_change_of_what_a_run_or_its_labels_rest_on_flags_it(history, name, why, kind):
    history.write(name, "x = 1\n")
    record = {"code": {"commit": history.commit("First"), "dirty": False}} | kind
    history.write(name, "x = 2\n")
    assert provenance.stale(record) == [f"changed since: fer_lib/{name}"], why


def test_what_runs_rest_on_stands_where_it_is_watched():
    for function in (audit.clean_rows, audit.leaking_rows, batches.epoch_targets, metrics.collapsed, metrics.score):
        assert Path(function.__code__.co_filename).relative_to(paths.ROOT / "fer_lib").as_posix() in provenance.WATCHED


def test_a_file_that_is_not_python_is_compared_as_text(history):
    history.write("models/net.prototxt", "layer { }\n")
    record = {"code": {"commit": history.commit("First"), "dirty": False}}
    assert provenance.stale(record) == []
    history.write("models/net.prototxt", "layer { name: 1 }\n")
    assert provenance.stale(record) == ["changed since: fer_lib/models/net.prototxt"]
    history.commit("A layer")
    assert provenance.stale(record) == ["changed since: fer_lib/models/net.prototxt"]
    (history.folder / "fer_lib" / "models" / "weights.bin").write_bytes(b"\xff\x00\xfe")
    history.commit("No text at all")
    names = "fer_lib/models/net.prototxt, fer_lib/models/weights.bin"
    assert provenance.stale(record) == [f"changed since: {names}"]


def test_a_change_before_a_move_flags_and_the_move_does_not(history):
    history.write("training.py", "x = 1\n")
    before = {"code": {"commit": history.commit("First"), "dirty": False}}
    history.write("training.py", "x = 2\n")
    after = {"code": {"commit": history.commit("Another number"), "dirty": False}}
    (history.folder / "fer_lib" / "training.py").unlink()
    history.write("training/loop.py", "x = 2\n")
    history.commit("Moved\n\nSame numbers: it only moved.")
    assert provenance.stale(before) == ["changed since: fer_lib/training.py"]
    assert provenance.stale(after) == []
    history.write("training/loop.py", "x = 3\n")
    history.commit("A third number")
    assert provenance.stale(after) == ["changed since: fer_lib/training/loop.py"]


def test_every_watched_place_is_there_and_what_stood_elsewhere_is_watched_there_too():
    watched = {*provenance.WATCHED_BY_SWEEPS, *provenance.WATCHED_BY_SURVEYS}
    assert all((paths.ROOT / "fer_lib" / name).exists() for name in {*watched, *provenance.NOT_WATCHED})
    assert provenance.FORMERLY.keys() <= watched and provenance.WATCHED_SINCE.keys() <= watched


def test_what_changed_before_a_file_was_watched_does_not_count(history, monkeypatch):
    history.write("data/audit.py", "x = 1\n")
    record = {"code": {"commit": history.commit("First"), "dirty": False}}
    history.write("data/audit.py", "x = 2\n")
    checked = history.commit("Looked at by hand")
    assert provenance.stale(record) == ["changed since: fer_lib/data/audit.py"]
    monkeypatch.setattr(provenance, "WATCHED_SINCE", {"data/audit.py": checked})
    provenance._changed_since.cache_clear()
    assert provenance.stale(record) == []
    history.write("data/audit.py", "x = 3\n")
    assert provenance.stale(record) == ["changed since: fer_lib/data/audit.py"]


def test_near_clean_scores_are_those_of_the_listed_rows(fer2013_faces):
    near_clean = near_duplicates.near_clean_rows(fer2013_faces) & (fer2013_faces.split == 2)
    run = paths.RESULTS / "runs/saravanan2019/table5_adam_128/jax-tensorfloat32-seed0"
    record = records.read(run)
    score = records.scores(record, "best", "PrivateTest near-clean")
    arrays = records.row_predictions(record, "best", "PrivateTest")
    kept = near_clean[arrays["ids"]]
    assert score["n"] == 2755 == kept.sum()
    assert score["correct"] == (arrays["classes"] == arrays["labels"])[kept].sum()
    with pytest.raises(ValueError, match="no scores of the best epoch on PrivateTest near-clean"):
        records.scores(record | {"data": record["data"] | {"source": {}}}, "best", "PrivateTest near-clean")


@pytest.mark.slow
def test_every_committed_record_has_the_clean_scores_that_the_audit_gives_today(fer2013_faces):
    clean, scored = audit.clean_rows(fer2013_faces), 0
    for record in records.load(paths.RESULTS):
        if record["data"]["sha256"] != fer2013_faces.sha256:
            continue
        arrays = records.predictions(record)
        rows = (arrays["split"] == 2) & clean[arrays["ids"]]
        for kept, reading in record["metrics"].items():
            if "PrivateTest clean" in reading:
                score = metrics.score(arrays[f"classes_{kept}"][rows], arrays["labels"][rows])
                assert score["accuracy"] == reading["PrivateTest clean"]["accuracy"], record["folder"]
                scored += 1
    assert scored > 100


def run_of_a_test_set(kept, history=20):
    """Record and arrays of a network that predicted FER2013's 7,178 test rows in these epochs, as mixed as can be."""
    rng = np.random.default_rng(0)
    split = np.repeat(np.array([0, 1, 2], np.uint8), (7, 3589, 3589))
    labels = (np.arange(len(split)) % 7).astype(np.uint8)
    images = rng.integers(0, 256, (len(split), 48, 48), np.uint8)
    everything = Faces(images, labels, split, np.arange(len(split), dtype=np.int32), "drawn_faces", "5ca1ab1e" * 8)
    evaluated = everything.select(everything.rows("PublicTest+PrivateTest"))
    logits = {epoch: rng.normal(0, 2, (7178, 7)).astype(np.float32) for epoch in set(kept.values())}
    sets = ("PublicTest", "PrivateTest", "PublicTest+PrivateTest")
    scores = [f"{name}_{of}" for name in sets for of in ("loss", "accuracy")]
    entry = dict.fromkeys(["epoch", "loss", "accuracy", "penalty", "learning_rate", "seconds", *scores], 1 / 3)
    return records.assemble(
        experiment="study/name", title="Name", profile="full", parameters=PARAMETERS, faces=everything,
        evaluated=evaluated, kept={name: {"epoch": epoch, "logits": logits[epoch]} for name, epoch in kept.items()},
        backend="numpy", device=records.cpu(), seconds=1.0, history=[entry] * history,
    )  # fmt: skip


@pytest.mark.parametrize(
    "kept, most", [({"last": 20, "best": 20}, 120), ({"last": 20, "best": 9}, 210), ({"last": 20}, 120)]
)
def test_a_run_adds_120_kilobytes_and_90_for_a_second_epoch_that_it_keeps(tmp_path, kept, most):
    record, arrays = run_of_a_test_set(kept)
    records.write(tmp_path, record, arrays)
    added = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert added < 1000 * most, f"{added:,} bytes"
    read = records.predictions(records.read(tmp_path))
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_committed_runs_add_150_kilobytes_on_average_and_one_notebook_a_group():
    folders = [path.parent for path in (paths.RESULTS / "runs").glob("*/*/*/metrics.json")]
    sizes = [sum((folder / name).stat().st_size for name in ("metrics.json", "predictions.npz")) for folder in folders]
    assert np.mean(sizes) < 150_000  # three readings, with views, are some 200,000
    if (listed := provenance.git("ls-files", "results/runs")) is None:
        pytest.skip("no git here to ask what is committed")
    notebooks = {Path(name).parent for name in listed.split("\n") if name.endswith("run.ipynb")}
    assert notebooks == {folder.relative_to(paths.ROOT) for folder in folders if folder.name.endswith("-seed0")}


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a machine with much else to do
@given(st.data())
def test_what_is_packed_is_unpacked(data):
    rows = data.draw(st.integers(0, 5))
    epochs = data.draw(st.sampled_from([(), ("last",), ("last", "best"), ("last", "best", "milestone")]))
    arrays = {"ids": np.arange(rows, dtype=np.int32), "trace_loss": np.zeros((2, 3), np.float32)}
    tables = [data.draw(st.lists(st.tuples(*[st.sampled_from([0, 0.25, 0.5])] * 3), min_size=rows, max_size=rows))
              for _ in range(2)]  # fmt: skip
    for epoch in epochs:
        table = data.draw(st.sampled_from(tables))
        arrays[f"probabilities_{epoch}"] = np.array(table, np.float16).reshape(rows, 3)
        classes = data.draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows))
        arrays[f"classes_{epoch}"] = np.array(classes, np.uint8)
    packed = records.pack(arrays)
    read = records.unpack(packed)
    assert read.keys() == arrays.keys()
    assert all(read[name].dtype == arrays[name].dtype and np.array_equal(read[name], arrays[name]) for name in arrays)
    assert not any(name.startswith("classes_") for name in packed)
    assert records.unpack(arrays).keys() == arrays.keys()  # as it was before


def test_what_is_no_whole_record_is_not_put_in_place_of_one(made, tmp_path):
    folder, _, _ = made
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "run.ipynb").write_text("{}")
    with pytest.raises(FileNotFoundError, match="new/predictions.npz: not there, so no record was written"):
        records.put(tmp_path / "new", folder)
    assert records.read(folder) and (tmp_path / "new" / "run.ipynb").exists()


@pytest.mark.parametrize("place", [0, 40, 400, -40])
def test_a_damaged_file_of_predictions_is_named(made, place):
    path = made[0] / "predictions.npz"
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content[: len(content) + min(place, 0)])
    with pytest.raises(ValueError, match="predictions.npz"):
        records.read_arrays(path)


def test_rows_that_are_not_there_are_refused(made):
    packed = records.pack(made[2])
    for row in (-1, 28):
        with pytest.raises(IndexError):
            records.unpack(packed | {"moved_last": np.array([[row, 0]], np.int32)})


@pytest.mark.parametrize("name", records.FIELDS)
def test_every_field_of_a_record_is_there_and_of_its_type(made, name):
    path = made[0] / "metrics.json"
    record = json.loads(path.read_text())
    for found in (None, [] if records.FIELDS[name] is dict else {}, True):
        path.write_text(json.dumps(record | {name: found}))
        with pytest.raises(ValueError, match=f"metrics.json: found {name} .*, expected one that is .*; delete"):
            records.read(made[0])
    path.write_text(json.dumps({key: value for key, value in record.items() if key != name}))
    with pytest.raises(ValueError, match=f"metrics.json: found no {name}, expected one that is"):
        records.read(made[0])


@pytest.mark.parametrize("wrong", [{}, {"Training": 1}, {"Usage": 3}, "1", 1.0, -1, True, None])
def test_a_record_has_a_count_of_rows_for_each_split(made, wrong):
    path = made[0] / "metrics.json"
    record = json.loads(path.read_text())
    counts = wrong if isinstance(wrong, dict) else record["data"]["rows"] | {"PublicTest": wrong}
    path.write_text(json.dumps(record | {"data": record["data"] | {"rows": counts}}))
    with pytest.raises(ValueError, match="metrics.json: found rows .*, expected a count for each of Training, Public"):
        records.read(made[0])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_predictions_that_are_not_finite_make_no_record(made, few_faces, wrong, tmp_path):
    """Their argmax is angry, and would be scored."""
    folder, record, arrays = made
    tests = few_faces.select(few_faces.rows("PublicTest+PrivateTest"))
    for kind in ("logits", "probabilities"):
        values = np.full((28, 7), 1 / 7, np.float32)
        values[3:5, 2] = wrong
        how = {"experiment": "x/y", "title": "", "profile": "full", "parameters": PARAMETERS, "faces": few_faces}
        how |= {"evaluated": tests, "kept": {"best": {"epoch": 1, kind: values}}, "backend": "jax", "device": {}}
        expected = "found 2 of 28 predictions with NaN or infinite numbers, expected finite ones; "
        with pytest.raises(ValueError, match=f"x/y, best epoch: {expected}the training diverged"):
            records.assemble(**how, seconds=1.0)
    lost = {"probabilities_last": values.astype(np.float16)}
    with pytest.raises(ValueError, match=f"new, probabilities_last: {expected}"):
        records.write(tmp_path / "new", record, arrays | lost)
    assert not (tmp_path / "new").exists()
    np.savez(tmp_path / "predictions.npz", **arrays | lost)
    with pytest.raises(ValueError, match=f"predictions.npz, probabilities_last: {expected}restore it from git"):
        records.read_arrays(tmp_path / "predictions.npz")


def test_every_committed_record_has_predictions_that_are_finite():
    all_records = records.load(paths.RESULTS)
    assert len(all_records) >= 218
    for record in all_records:
        for array in records.read_arrays(record["folder"] / "predictions.npz").values():
            assert array.dtype.kind != "f" or np.isfinite(array).all()


def test_a_history_in_less_memory_is_the_same_history():
    entries = [{"epoch": at, "loss": 1.5 / at, "seconds": 0.25 * at} for at in range(1, 6)]
    history = records.History(entries)
    assert list(history) == entries and len(history) == 5
    assert history[-1] == entries[-1] and history[1:3] == entries[1:3]
    assert type(history[0]["epoch"]) is int
    for wrong in ([{"loss": 1.0}, {"accuracy": 1.0}], [{"loss": 1.0}, {"loss": 1}], [{"loss": "much"}]):
        with pytest.raises((TypeError, ValueError)):
            records.History(wrong)
