"""The bench: that it measures what it says, and that its page shows what it kept. Nothing here looks at a clock."""

import json
import os
import sys

import numpy as np
import pytest

from fer_lib import models, paths
from fer_lib.data import array_hash
from fer_lib.models import architectures
from fer_lib.report import parts
from fer_lib.training.protocol import Protocol

sys.path.insert(0, str(paths.ROOT / "bench"))
import bench  # noqa: E402, I001
import keeping  # noqa: E402
import measure  # noqa: E402


KEPT = keeping.kept("bench", commit=True)
FIRST, LAST = parts.marks("bench/bench.py")


def test_another_measurement_takes_the_place_of_the_one_before(tmp_path):
    figures = json.loads(KEPT.read_text())
    before = parts.BENCHMARKS.read_text()
    page = tmp_path / "benchmarks.md"
    page.write_text(before)
    slower = figures | {"loading": figures["loading"] | {"first_s": measure.spread([987.0])}}
    parts.put(page, "bench/bench.py", bench.table(slower))
    assert page.read_text() != before and "| 987 | 987 | 987 |" in page.read_text()
    parts.put(page, "bench/bench.py", bench.table(figures))
    assert page.read_text() == before


def test_a_page_without_its_marks_is_refused(tmp_path):
    page = tmp_path / "benchmarks.md"
    page.write_text(parts.BENCHMARKS.read_text().replace(LAST, ""))
    found = r"benchmarks\.md: found 0 times '<!-- end of bench/bench\.py -->', expected once; put it back"
    with pytest.raises(ValueError, match=found):
        parts.put(page, "bench/bench.py", "")


def test_a_goal_is_met_or_missed_by_the_median():
    figures = json.loads(KEPT.read_text())
    for times, word in ((3.99, "missed"), (4.0, "met")):
        figures["loading"]["times_torchvision"] = measure.spread([1.0, times, 99.0])
        assert f"| {times:.2f} | 1.00 | 99.00 | 4: {word} |" in bench.table(figures)


def test_what_was_measured_is_printed_and_kept_where_it_was_asked_for(tmp_path, monkeypatch, capsys):
    figures = json.loads(KEPT.read_text())
    monkeypatch.setattr(parts, "BENCHMARKS", tmp_path / "benchmarks.md")
    parts.BENCHMARKS.write_text(f"Before\n{FIRST}{LAST}after\n")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(measure, "csv_to_read", lambda scratch: (tmp_path, {"data": "nothing"}))
    monkeypatch.setattr(measure, "loading", lambda path, cache: figures["loading"])
    monkeypatch.setattr(measure, "apart", lambda function: figures["training"])
    monkeypatch.setattr(measure, "starting", lambda scratch: figures["starting"])
    assert bench.main([]) == 0
    local = json.loads((tmp_path / "results" / "local" / "bench.json").read_text())
    assert local["loading"] == figures["loading"]
    assert set(local) == set(figures)
    assert bench.table(local) in capsys.readouterr().out
    assert not (tmp_path / "bench").exists()
    assert bench.main(["--keep"]) == 0
    kept = json.loads((tmp_path / "bench" / "bench.json").read_text())
    assert parts.BENCHMARKS.read_text() == f"Before\n{FIRST}{bench.table(kept)}{LAST}after\n"
    monkeypatch.setattr(measure, "starting", lambda scratch: measure.command_seconds(["false"], tmp_path, {}))
    assert bench.main(["--keep"]) == 1
    assert "error: false: found exit code 1" in capsys.readouterr().err
    assert json.loads((tmp_path / "bench" / "bench.json").read_text()) == kept


def test_all_readers_read_the_same(tmp_path, few_faces):
    path = tmp_path / "few.csv"
    measure.write_csv(few_faces, path, 75)
    rows = np.arange(75) % 70
    expected = array_hash(few_faces.images[rows], few_faces.labels[rows], np.empty(0, np.uint8))
    for reader in (measure.as_torchvision, measure.with_pandas, measure.ours, measure.ours, measure.ours_read_through):
        seconds, found = measure.load_seconds(reader, path)
        assert seconds > 0
        assert found == expected


def test_loading_is_measured_with_and_without_a_cache(tmp_path, few_faces, monkeypatch):
    monkeypatch.setattr(measure, "apart", lambda function, *arguments: function(*arguments))
    path = tmp_path / "few.csv"
    measure.write_csv(few_faces, path, 70)
    (paths.CACHE / "fer2013-of-old").mkdir(parents=True)
    found = measure.loading(path, paths.CACHE, turns=1)
    assert not (paths.CACHE / "fer2013-of-old").exists()
    assert list(paths.CACHE.glob("fer2013-*"))
    names = {"torchvision_s", "pandas_s", "first_s", "cached_s", "cached_read_s", "times_torchvision"}
    assert set(found) == names
    ratio = found["torchvision_s"]["median"] / found["first_s"]["median"]
    assert found["times_torchvision"]["median"] == pytest.approx(ratio, rel=1e-2)


def test_a_function_apart_is_called_by_another_process_with_this_environment(monkeypatch):
    monkeypatch.setenv("FER_CACHE", "somewhere")
    assert measure.apart(os.getenv, "FER_CACHE") == "somewhere"
    assert measure.apart(os.getpid) != os.getpid()


def test_readers_that_differ_are_an_error(tmp_path, few_faces, monkeypatch):
    monkeypatch.setattr(measure, "apart", lambda function, reader, path: (1.0, reader.__name__))
    (tmp_path / "any.csv").touch()
    with pytest.raises(RuntimeError, match=r"any\.csv: the readers differ in the pixels"):
        measure.loading(tmp_path / "any.csv", tmp_path / "cache", turns=1)


def test_without_the_official_data_the_csv_is_of_its_size_and_called_drawn(tmp_path, few_faces, monkeypatch):
    monkeypatch.setattr("fer_lib.data.load_faces", lambda name: few_faces)
    monkeypatch.setattr(measure, "ROWS", 71)
    path, about = measure.csv_to_read(tmp_path)
    assert about["rows"] == 71
    assert about["data"].startswith("drawn faces")
    assert len(path.read_text().splitlines()) == 72
    monkeypatch.setenv("FER2013", str(path))
    (tmp_path / "other").mkdir()
    with pytest.warns(UserWarning, match="not the official"):
        path, about = measure.csv_to_read(tmp_path / "other")
    assert about["data"].startswith("drawn faces")


@pytest.mark.slow
def test_the_official_csv_is_read_where_it_is_and_written_from_another_form(tmp_path, fer2013_csv, monkeypatch):
    monkeypatch.setenv("FER2013", str(fer2013_csv))
    path, about = measure.csv_to_read(tmp_path)
    assert path == fer2013_csv
    assert about == {"data": "the official fer2013.csv", "rows": 35_887, "megabytes": 301}
    faces = measure.fer2013.load(fer2013_csv)
    np.savez(tmp_path / "fer2013.npz", pixels=faces.images, emotion=faces.labels, usage=faces.split)
    monkeypatch.setenv("FER2013", str(tmp_path / "fer2013.npz"))
    path, about = measure.csv_to_read(tmp_path)
    assert path.read_bytes() == fer2013_csv.read_bytes()
    assert about["data"] == "fer2013.csv written from fer2013.npz"


def test_training_is_measured_beside_a_product_of_the_same_precision(few_faces):
    protocol = Protocol(model="feedforward", batch_size=16)
    found = measure.training_rate(protocol, few_faces, turns=1, sizes=(32, 64), seconds=1e-3)
    assert found["matmul_size"] in (32, 64)
    assert (
        found["gflop_an_image"] == architectures.training_flop(architectures.layers(models.build("feedforward"))) / 1e9
    )
    expected = found["gflop_per_s"]["median"] / found["matmul_gflop_per_s"]["median"]
    assert found["share"]["median"] == pytest.approx(expected, rel=1e-2)


@pytest.mark.slow
def test_a_copy_of_the_project_is_made_to_have_nothing_to_do(tmp_path):
    found = measure.starting(tmp_path, turns=1)
    assert found["reproduce_s"]["n"] == found["help_s"]["n"] == 1
