"""The live benches: that they measure what they say. Nothing here looks at a clock."""

import json
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import live_frames
import numpy as np
import pytest

from fer_lib import data, paths
from fer_lib.live import blaze, detectors, inference, model_card
from fer_lib.report import parts

sys.path.insert(0, str(paths.ROOT / "bench"))
import bench  # noqa: E402, I001
import ingest  # noqa: E402
import keeping  # noqa: E402
import live as live_bench  # noqa: E402
import live_ways  # noqa: E402
import measure  # noqa: E402
import peers  # noqa: E402

pytest.importorskip("skimage")
needs_blaze = pytest.mark.skipif(blaze.missing() is not None, reason=f"blaze is not installed: {blaze.missing()}")


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    monkeypatch.setattr(live_ways, "classifier", live_frames.Brightness)


@needs_blaze
@pytest.mark.parametrize(("faces", "width", "height"), [(1, 640, 480), (10, 640, 480), (10, 1280, 720)])
def test_the_frames_have_their_faces_and_ours_finds_them(tmp_path, monkeypatch, faces, width, height):
    images = live_ways.frames(faces, 4, width, height)
    assert len(images) == 4 and all(image.shape == (height, width, 3) for image in images)
    assert all((one != other).any() for one, other in zip(images, images[1:]))  # they move
    video = tmp_path / "some.mkv"
    live_ways.write_video(video, images)
    asked = []
    network = SimpleNamespace(predict=lambda pixels, verbose: asked.append((pixels.shape, pixels.max() <= 1)))
    monkeypatch.setattr(live_ways, "proposed_cnn", lambda: network)
    found = live_ways.speed(video, faces, 4, ThreadPoolExecutor(1), turns=2)
    assert set(asked) == {((1, 48, 48, 1), True)} and len(asked) >= 2 * 0.9 * 4 * faces
    for way, stages in (("usual", 3), ("tuned", 4), ("paper", 4), ("blaze", 4)):
        assert len(found[way]) == 2 * (stages + 1) + 1 and found[way]["all_p50_ms"]["n"] == 2
    assert found["blaze"]["faces_found"]["min"] == found["blaze"]["faces_found"]["max"] == 1
    if height == 480:
        assert found["paper"]["faces_found"]["max"] == (1 if faces == 1 else 0)  # 70 pixels are under its 100


def test_a_way_that_finds_nothing_is_not_called_fast(tmp_path, monkeypatch):
    nothing = {"all_p50_ms": 0, "detect": [1e-6]}
    for way in live_ways.WAYS:
        monkeypatch.setitem(live_ways.WAYS, way, (lambda video, detector: (0, {"detect": nothing["detect"]}), way))
    with pytest.raises(RuntimeError, match="blaze: found 0 faces in 4 frames with 1"):
        live_ways.speed(tmp_path, 1, 4, ThreadPoolExecutor(1), 1)


def test_a_detectors_rate_is_the_share_of_faces_under_its_boxes(monkeypatch):
    monkeypatch.setattr(live_ways, "CONDITIONS", {"small": {"size": 64}, "large": {"size": 480}})
    monkeypatch.setattr(live_ways, "OTHER_THINGS", ("coffee", "moon"))

    def detector(name, moving):
        boxes = [(100, 0, 440, 480), (0, 0, 9, 9)] if name == "paper" else np.empty((0, 5))
        return lambda image, grey: np.array(boxes)

    monkeypatch.setattr(detectors, "detector", detector)
    found = live_ways.found_under(3)
    assert found["data"].startswith("drawn faces") and found["faces"] == 3 and found["pictures"] == 10
    rates = {name: [found["conditions"][size][name]["found"] for size in ("small", "large")] for name in
             ("blaze", "paper")}  # fmt: skip
    assert rates == {"blaze": [0, 0], "paper": [0, 1]}  # a box of 440 is no face of 64
    low, high = found["conditions"]["large"]["paper"]["interval"]
    assert 0 < low < high == 1
    assert found["false_alarms_a_picture"]["paper"] == 2 and found["false_alarms_a_picture"]["blaze"] == 0


FOUND = {
    "data": "some", "faces": 2, "pictures": 3, "false_alarms_a_picture": {"blaze": 0.25},
    "conditions": {"dark": {"blaze": {"found": 0.5, "interval": [0.1, 0.9], "p50_ms": 7}}},
}  # fmt: skip


def speeds(milliseconds: float, times: float = 9.0, found: float = 1.0) -> dict:
    stages = {f"{stage}_p{share}_ms": measure.spread([milliseconds])
              for stage in ("read", "detect", "crop", "classify", "all") for share in (50, 95)}  # fmt: skip
    stages["faces_found"] = measure.spread([found])
    return {way: dict(stages) for way in live_ways.WAYS} | {"times_usual": measure.spread([times])}


@pytest.mark.parametrize("times, milliseconds, word", [(7.9, 14.0, "missed"), (8.0, 4.9, "met")])
def test_what_was_measured_is_printed_and_kept(tmp_path, monkeypatch, capsys, times, milliseconds, word):
    monkeypatch.setattr(live_ways, "speed", lambda *_: speeds(milliseconds, times))
    monkeypatch.setattr(live_ways, "found_under", lambda count: FOUND)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(parts, "BENCHMARKS", tmp_path / "benchmarks.md")
    parts.BENCHMARKS.write_text("Before\n" + "".join(parts.marks("bench/live.py")) + "after\n")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    assert live_bench.main(["--turns", "1", "--frames", "1", "--keep"]) == 0
    kept = json.loads((tmp_path / "bench" / "live.json").read_text())
    table = live_bench.table(kept)
    assert table in capsys.readouterr().out and table in parts.BENCHMARKS.read_text()
    assert table.count(f" | {times:.1f} [{times:.1f}, {times:.1f}] | 8 times: {word} |") == 2
    took = f"{milliseconds:.3g} [{milliseconds:.3g}, {milliseconds:.3g}]"
    goals = f"under 5: {word}; under 13: {word}"
    assert table.count(f"| 640 x 480, 1 | ours, `blaze` | 1 of 1 | {took} | {took} |  | {goals} |") == 1
    figures = kept["speed"]["640 x 480"]["10"]["usual"]
    figures["all_p50_ms"] = measure.spread([1234.5, 999.0])
    assert "| 1,117 [999, 1,234] |" in live_bench.table(kept)
    assert table.count("under 5") == table.count("under 13") == 1
    folded = table.split("<details>")[1].split("</details>")[0]
    assert folded.count("| detect |") == table.count("| detect |") == 4
    assert "| dark | 50 [10, 90] | 7.0 |" in table and "| false alarms per picture without people | 0.25 | |" in table


def test_each_row_says_what_it_found_and_one_that_found_nothing_is_no_result():
    figures = keeping.facts() | {"versions": {}, "found": FOUND}
    figures["load_average"] *= 2
    figures["speed"] = {size: {"1": speeds(3.0), "10": speeds(9.0)} for size in live_ways.SIZES}
    assert "A fast row that finds nothing is no result; each found its faces.\n" in live_bench.table(figures)
    figures["speed"]["640 x 480"]["10"]["paper"]["faces_found"] = measure.spread([0.0, 0.0, 1.0])
    figures["speed"]["1280 x 720"]["10"]["tuned"]["faces_found"] = measure.spread([0.89])
    table = live_bench.table(figures)
    assert table.count("| 640 x 480, 10 | ours with the paper's Haar | 0 of 10 |") == 1
    sentence = "A fast row that finds nothing is no result: ours with the paper's Haar found 0 of 10 at 640 x 480; "
    assert f"\n\n{sentence}ours with the tuned Haar found 8.9 of 10 at 1280 x 720.\n\n" in table


@pytest.fixture
def other_package(tmp_path, monkeypatch):
    """A program in the place of ``peer_fer.py``, that finds one face a frame and calls every face happy."""
    program = tmp_path / "peer"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, sys, numpy\n"
        "if sys.argv[1].endswith('.npy'):\n"
        "    happy = numpy.eye(7)[[3] * len(numpy.load(sys.argv[1]))]\n"
        "    numpy.savez(sys.argv[2], int8=happy, float=happy)\n"
        "else:\n"
        "    print('noise')\n"
        "    found = {path: {'haar': {'found': 3, 'seconds': [0.1, 0.2, 0.3]}} for path in sys.argv[1:]}\n"
        "    print(json.dumps({'versions': {'fer': '1'}} | found))\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(peers, "PEER", [str(program)])
    return program


def test_the_other_package_sees_the_same_videos_and_faces(tmp_path, monkeypatch, capsys, other_package, few_faces):
    monkeypatch.setattr(peers.fer2013, "find", lambda: tmp_path)
    monkeypatch.setattr(data, "load_faces", lambda name: few_faces)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(peers, "FACES", (1,))
    assert peers.main(["--turns", "2", "--frames", "3"]) == 0
    kept = json.loads((tmp_path / "results" / "local" / "peers.json").read_text())
    assert kept["speed"]["1"]["haar_p50_ms"]["median"] == 200 and kept["speed"]["1"]["haar_found"]["median"] == 1
    assert kept["speed"]["1"]["haar_times"]["n"] == 2 and "MTCNN was not measured" in peers.table(kept)
    assert kept["speed"]["1"]["haar_p95_ms"]["n"] == 2 and kept["versions"] == {"fer": "1"}
    happy = kept["accuracy"]["fer, 8 bits"]["PrivateTest"]
    assert (happy["correct"], happy["n"], happy["accuracy"]) == (2, 14, 0.1429)
    assert kept["accuracy"]["ours"]["PrivateTest"]["n"] == 14
    assert peers.table(kept) in capsys.readouterr().out


def test_the_comparison_shows_one_look_too_and_what_the_second_adds():
    figures = json.loads(keeping.kept("peers", commit=True).read_text())
    about = json.loads(inference.MODEL.with_suffix(".json").read_text())
    table = peers.table(figures)
    for name, sets in {
        "ours, one look": about["without_mirror"],
        "ours, two looks": figures["accuracy"]["ours"],
    }.items():
        score = sets["PrivateTest"]
        assert table.count(f"| {name} | {100 * score['correct'] / score['n']:.2f} | ") == 1
    assert f"\n\n{model_card.beside_fer(about, figures['accuracy'])}\n\n" in table and "| ours |" not in table
    for sets in figures["accuracy"].values():
        sets["PrivateTest"]["n"] -= 1  # other rows than those of model.json
    assert "look" not in peers.table(figures) and "| ours | " in peers.table(figures)


def test_where_the_other_package_fails_that_is_the_error(tmp_path, monkeypatch, capsys, other_package):
    other_package.write_text(f"#!{sys.executable}\nraise SystemExit('no such module')\n")
    monkeypatch.setattr(peers, "FACES", ())
    assert peers.main(["--turns", "1", "--frames", "1"]) == 1
    assert "no such module" in capsys.readouterr().err
    monkeypatch.setattr(peers, "PEER", [str(tmp_path / "none")])
    assert peers.main(["--turns", "1", "--frames", "1"]) == 1


def test_the_classifier_is_the_one_that_ships(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(inference, "load", lambda path=None: live_frames.Brightness())
    live_ways.classifier.cache_clear()
    assert isinstance(live_ways.classifier(), live_frames.Brightness)
    live_ways.classifier.cache_clear()


@pytest.mark.parametrize(
    ("name", "program"), [("bench", bench), ("live", live_bench), ("peers", peers), ("ingest", ingest)]
)
def test_the_page_shows_the_figures_that_were_kept(name, program):
    kept = keeping.kept(name, commit=True)
    if not kept.exists():
        pytest.skip(f"bench/{kept.name} is not measured yet: `make bench-{name} KEEP=1`")
    figures = json.loads(kept.read_text())
    shown = parts.BENCHMARKS.read_text()
    assert parts.with_part(parts.BENCHMARKS, f"bench/{name}.py", program.table(figures)) == shown
    if name == "peers":  # the accuracy is that of the live model now
        about = json.loads(inference.MODEL.with_suffix(".json").read_text())
        ours, shipped = figures["accuracy"]["ours"]["PrivateTest"], about["scores"]["model.onnx"]["PrivateTest"]
        assert abs(ours["correct"] - shipped["correct"]) <= 2
