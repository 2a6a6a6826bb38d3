"""``python -m fer_lib live``: what it prints and writes, what it refuses, and that files are whole however it ends."""

import csv
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import live_frames
import numpy as np
import psutil
import pytest
from live_frames import frame, video

from fer_lib import paths
from fer_lib.__main__ import main
from fer_lib.data.emotions import FER2013
from fer_lib.live import outputs, pipeline, sources

PROGRAM = [sys.executable, str(paths.ROOT / "tests" / "live_frames.py")]


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    found = {}
    live_frames.install(found)
    for name, module in found.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """Eight frames of 320 x 240 with two faces."""
    images = [frame({(20 + 4 * k, 40): 100, (190, 90): 80}, 320, 240) for k in range(8)]
    return video(tmp_path_factory.mktemp("two") / "two.mkv", images)


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "one.png"
    cv2.imwrite(str(path), frame({(200, 120): 160}))
    return path


def decoded(path: Path) -> list:
    """(seconds, image) of all frames of a video."""
    with av.open(str(path)) as file:
        return [(each.time, each.to_ndarray(format="bgr24")) for each in file.decode(video=0)]


def rows(path: Path) -> list[dict]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_picture_gives_one_line_a_face(picture, capsys):
    assert main(["live", "--source", str(picture), "--json"]) == 0
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    face = json.loads(line)
    assert face["name"] == "one.png" and face["frame"] == 0 and face["track"] == 1 and face["abstained"] is False
    assert len(face["box"]) == 4 and list(face["probabilities"]) == list(FER2013)
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert face["top2"] == sorted(FER2013, key=lambda name: -face["probabilities"][name])[:2]
    assert "1 frames, 1 faces" in printed.err
    assert main(["live", "--source", str(picture), "--threshold", "1"]) == 0
    assert "one.png  face 1 (" in (message := capsys.readouterr().out) and "open, perhaps happy" in message


def test_a_video_into_all_files_at_once(two, tmp_path, capsys):
    files = tmp_path / "o.mkv", tmp_path / "o.csv"
    assert main(["live", "--source", str(two), "--json", "--save", str(files[0]), "--csv", str(files[1])]) == 0
    faces, table, frames = capsys.readouterr().out.splitlines(), rows(files[1]), decoded(files[0])
    assert len(faces) == len(table) == 16 and len(frames) == 8
    assert [moment for moment, _ in frames] == pytest.approx([k / 25 for k in range(8)])
    for line, row in zip(map(json.loads, faces), table):
        assert [int(row[name]) for name in ("frame", "track", "left", "top", "width", "height", "abstained")] == [
            line["frame"], line["track"], *line["box"], line["abstained"],
        ]  # fmt: skip
        assert [row["first"], row["second"]] == line["top2"] and row["name"] == line["name"]
        assert [float(row[name]) for name in FER2013] == list(line["probabilities"].values())
    before = decoded(two)
    for (_, drawn), (_, plain) in zip(frames, before):
        assert drawn.shape == plain.shape and np.abs(drawn.astype(int) - plain).max() > 100  # something is drawn


def test_pictures_of_several_sizes_into_one_video(tmp_path):
    (tmp_path / "pictures").mkdir()
    for name, size in (("a.png", (321, 241)), ("b.png", (640, 480)), ("c.png", (100, 80))):
        cv2.imwrite(str(tmp_path / "pictures" / name), frame({}, *size, tone=200))
    assert main(["live", "--source", str(tmp_path / "pictures"), "--save", str(tmp_path / "o.mkv")]) == 0
    found = decoded(tmp_path / "o.mkv")
    assert [moment for moment, _ in found] == [0, 1, 2]
    assert {image.shape for _, image in found} == {(242, 322, 3)}
    assert found[1][1][100, 100].min() > 190 and found[2][1][200, 200].max() < 10


def test_a_picture_into_a_picture(picture, tmp_path):
    assert main(["live", "--source", str(picture), "--save", str(tmp_path / "o.png")]) == 0
    assert (cv2.imread(str(tmp_path / "o.png")) != cv2.imread(str(picture))).any()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--save", "o.png"], "found o.png, expected a name that ends in .mkv, or .png or .jpg for one picture"),
        (["--save", "o.mp4"], "expected a name that ends in .mkv"),
        (["--detector", "hear"], "found 'hear', expected one of tuned, paper, usual, yunet"),
        (["--detector", "yunet", "--yunet", "none.onnx"], "found no file none.onnx"),
        (["--threshold", "2"], "threshold: found 2.0, expected a probability"),
        (["--csv", "no-such-folder/o.csv"], "No such file or directory: 'no-such-folder/o.csv'"),
        (["--save", "no-such-folder/o.mkv"], "No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_one_error(two, arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["live", "--source", str(two), *arguments]) == 1
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0] and not printed.out


def test_bad_sources_are_one_error_and_leave_files_alone(tmp_path, capsys):
    kept = tmp_path / "o.csv"
    kept.write_text("of yesterday")
    (tmp_path / "text.mp4").write_text("text")
    for source, message in (("none.mp4", "found no such file"), ("text.mp4", "read as a video"), ("97", "camera 97")):
        source = source if source == "97" else str(tmp_path / source)
        assert main(["live", "--source", source, "--csv", str(kept)]) == 1
        errors = capsys.readouterr().err.splitlines()
        assert len(errors) == 1 and errors[0].startswith("error: ") and message in errors[0]
    assert kept.read_text() == "of yesterday"


def test_the_source_is_never_written_over(two, picture, capsys):
    before = two.read_bytes()
    assert main(["live", "--source", str(two), "--save", str(two)]) == 1
    assert main(["live", "--source", str(two), "--csv", str(two.parent / ".." / two.parent.name / two.name)]) == 1
    assert "found the source itself" in capsys.readouterr().err and two.read_bytes() == before


def test_a_camera_that_goes_is_an_error_that_keeps_what_came(monkeypatch, tmp_path, capsys):
    left = [(True, frame({(20, 40): 100}, 320, 240))] * 4 + [(False, None)]
    camera = SimpleNamespace(isOpened=lambda: True, set=lambda *_: 0, read=lambda: left.pop(0), release=lambda: None)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    files = tmp_path / "o.mkv", tmp_path / "o.csv"
    assert main(["live", "--source", "0", "--save", str(files[0]), "--csv", str(files[1])]) == 1
    printed = capsys.readouterr().err
    assert "error: camera 0: found no further frame after 4" in printed and "4 frames, 4 faces" in printed
    assert len(decoded(files[0])) == len(rows(files[1])) == 4


def test_damage_is_reported_and_the_rest_kept(tmp_path, capsys):
    data = bytearray(video(tmp_path / "a.mov", [frame({}, 64, 48)] * 5, codec="png", pix_fmt="rgb24").read_bytes())
    place = [k for k in range(len(data)) if data[k : k + 4] == b"IHDR"][2]
    data[place : place + 4] = b"IIII"
    (tmp_path / "b.mov").write_bytes(data)
    assert main(["live", "--source", str(tmp_path / "b.mov"), "--save", str(tmp_path / "o.mkv")]) == 0
    printed = capsys.readouterr().err
    assert "b.mov: found 1 damaged of 5 frames, first frame 2" in printed and "4 frames, 0 faces" in printed
    assert [moment for moment, _ in decoded(tmp_path / "o.mkv")] == pytest.approx([0, 0.04, 0.12, 0.16])


# ---- windows


def test_without_windows_or_display_show_says_what_to_do(two, monkeypatch, capsys):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "\n  GUI:                           NONE\n")
    assert main(["live", "--source", str(two), "--show"]) == 1
    assert "found an OpenCV without windows" in (message := capsys.readouterr().err) and "live-window" in message
    assert f"opencv-python=={importlib.metadata.version('opencv-python-headless')}" in message
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "\n  GUI:                           QT5\n")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["live", "--source", str(two), "--show"]) == 1
    assert "--show: found no display" in capsys.readouterr().err


def test_a_window_shows_each_frame_until_a_key_ends_it(two, monkeypatch, capsys):
    shown, keys = [], [255, 255, ord("q")]
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:   QT5")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(image))
    monkeypatch.setattr(cv2, "waitKey", lambda wait: keys.pop(0))
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: 1.0)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: shown.append("closed"))
    assert main(["live", "--source", str(two), "--show"]) == 0
    assert len(shown) == 4 and shown[-1] == "closed" and not keys
    assert "3 frames, 6 faces" in capsys.readouterr().err


def test_what_is_drawn_stays_in_the_frame_and_shows_each_probability():
    probabilities = np.array([0.1, 0, 0, 0.7, 0.1, 0, 0.1])
    for box in ((0, 0, 60, 60), (580, 400, 60, 80), (0, 0, 640, 480), (-20, -20, 40, 40)):
        image = np.full((480, 640, 3), 128, np.uint8)
        face = pipeline.Face(box, 1, probabilities, FER2013, abstained=False)
        drawn = outputs.overlay(pipeline.Result(0, 0.0, "", image, (face,), {}), 25)
        assert (image == 128).all() and (drawn != image).any() and drawn.shape == image.shape
    face = pipeline.Face((200, 200, 100, 100), 1, probabilities, FER2013, abstained=False)
    drawn = outputs.overlay(pipeline.Result(0, 0.0, "", image, (face,), {}))
    for code, likely in enumerate(probabilities):  # each bar as long as its probability, of 65 pixels
        row = drawn[200 + 11 * code + 1, 306:]
        assert np.flatnonzero((row == outputs.SURE).all(1)).max(initial=0) == pytest.approx(65 * likely, abs=2)


# ---- how it ends


def start(*arguments) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": f"{paths.ROOT}:{paths.ROOT / 'tests'}"}
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    """10,000 small frames, a face that moves in each."""
    faces = [frame({(10 + 2 * k, 20): 80}, 160, 120) for k in range(30)]
    images = (faces[abs(k % 58 - 29)] for k in range(10_000))
    return video(tmp_path_factory.mktemp("long") / "long.mkv", images, preset="ultrafast")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_is_stopped_what_it_wrote_is_whole(long, tmp_path, number):
    files = tmp_path / "o.mkv", tmp_path / "o.csv"
    process = start("--source", long, "--save", files[0], "--csv", files[1], "--json")
    for _ in range(200):
        last = json.loads(process.stdout.readline())
    process.send_signal(number)
    printed, errors = process.communicate(timeout=60)
    for line in printed.splitlines():
        last = json.loads(line)
    table, frames = rows(files[1]), decoded(files[0])
    assert all(None not in row.values() for row in table)  # no line is cut off
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        assert last["frame"] - 1 <= int(table[-1]["frame"]) and last["frame"] - 1 <= len(frames)
    else:
        assert process.returncode == 130 and "Traceback" not in errors
        assert f"{len(frames)} frames, {len(table)} faces" in errors and int(table[-1]["frame"]) == last["frame"]
    assert 100 < len(frames) < 10_000


@pytest.mark.slow
def test_who_reads_no_further_stops_it(long, tmp_path):
    process = start("--source", long, "--json", "--save", tmp_path / "o.mkv")
    json.loads(process.stdout.readline())
    process.stdout.close()
    assert process.wait(timeout=60) == 0 and "Traceback" not in process.stderr.read()
    assert 1 <= len(decoded(tmp_path / "o.mkv")) < 10_000


@pytest.mark.slow
def test_ten_thousand_frames_are_all_accounted_for_and_memory_stays_flat(long, tmp_path):
    files = tmp_path / "o.mkv", tmp_path / "o.csv"
    process, memory = start("--source", long, "--save", files[0], "--csv", files[1]), []
    looked_at = psutil.Process(process.pid)
    while process.poll() is None:
        written = files[1].stat().st_size if files[1].exists() else 0
        if written > 50_000:  # some hundred frames: everything is loaded
            memory.append(looked_at.memory_info().rss / 2**20)
        time.sleep(0.2)
    assert process.returncode == 0 and "10000 frames, " in process.stderr.read()
    table, frames = rows(files[1]), decoded(files[0])
    assert len(frames) == 10_000 and [round(25 * moment) for moment, _ in frames] == list(range(10_000))
    seen = {int(row["frame"]) for row in table}
    assert len(seen) > 9_900 and max(seen) < 10_000  # a face is lost for a frame at times
    half = len(memory) // 2
    assert half > 5 and max(memory[half:]) - max(memory[:half]) < 8  # MB


def test_ctrl_c_between_two_frames_ends_with_whole_files(two, tmp_path, monkeypatch, capsys):
    frames = sources.frames

    def interrupted(source, every):
        for each in frames(source, every):
            if each.index == 3:
                os.kill(os.getpid(), signal.SIGINT)
            yield each

    monkeypatch.setattr(sources, "frames", interrupted)
    files = tmp_path / "o.mkv", tmp_path / "o.csv"
    handler = signal.getsignal(signal.SIGINT)
    assert main(["live", "--source", str(two), "--save", str(files[0]), "--csv", str(files[1])]) == 130
    assert len(decoded(files[0])) == 4 and len(rows(files[1])) == 8
    assert "4 frames, 8 faces" in capsys.readouterr().err and signal.getsignal(signal.SIGINT) is handler


def test_where_only_live_is_installed_the_other_verbs_say_what_they_need():
    code = "import sys; sys.modules['yaml'] = None; from fer_lib.__main__ import main; sys.exit(main(['runs']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=paths.ROOT)
    assert done.returncode == 1
    assert done.stderr.startswith("error: runs: found no package yaml, expected what the study needs;")
