"""``python -m fer_lib live``: what it prints and writes, what it refuses, and that files are whole however it ends."""

import base64
import contextlib
import csv
import fcntl
import importlib.metadata
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
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
from fer_lib.live import outputs, pipeline, sources, summary

NO_FACE = dict.fromkeys(["track", "box", "turn", "top2", "abstained", "probabilities"])

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
    assert "one.png  face 1 (" in (message := capsys.readouterr().out) and "abstained, perhaps happy" in message


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
        (["--detector", "hear"], "found 'hear', expected one of blaze, tuned, paper, usual, yunet"),
        (["--detector", "yunet", "--yunet", "none.onnx"], "found no file none.onnx"),
        (["--threshold", "2"], "threshold: found 2.0, expected a probability"),
        (["--csv", "no-such-folder/o.csv"], "--csv no-such-folder/o.csv: found no folder no-such-folder"),
        (["--save", "no-such-folder/o.mkv"], "--save no-such-folder/o.mkv: found no folder no-such-folder"),
        (["--summary", "no-such-folder/o.csv"], "--summary no-such-folder/o.csv: found no folder no-such-folder"),
        (["--csv", "o.mkv"], "--csv: found o.mkv, expected a name that ends in .csv"),
        (["--csv", "-"], "--csv: found -, expected a file's name; /dev/stdout is the standard output's"),
        (["--csv", "o.PNG"], "--csv: found o.PNG, expected a name that ends in .csv"),
        (["--csv", "o.html"], "--csv: found o.html, expected a name that ends in .csv"),
        (["--region", "1,2,3"], "region: found 1,2,3, expected left,top,width,height"),
        (["--region", "0,0,0,9"], "region: found 0,0,0,9, expected left,top,width,height"),
        (["--region", "320,0,9,9"], "which is outside, expected a part of the frame, 320 x 240 pixels"),
        (["--summary", "o.txt"], "found o.txt, expected a name that ends in .csv, .html, .png"),
        (["--every", "0"], "--every: found 0, expected 1 or more"),
        (["--per", "frame"], "--per: found frame without --json"),
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


# ---- files


ODD = os.fsdecode(b"caf\xe9")


@pytest.mark.skipif(sys.platform != "linux", reason="this system's names of files are all UTF-8")
def test_names_that_are_no_utf8_are_written_and_named(two, tmp_path, capsys):
    source = tmp_path / f"{ODD}.png"
    source.write_bytes(cv2.imencode(".png", frame({(200, 120): 160}))[1].tobytes())
    files = [tmp_path / f"{ODD}{ending}" for ending in (".mkv", ".o.png", ".csv", ".html", ".all.csv")]
    assert main(["live", "--source", str(two), "--save", str(files[0])]) == 0
    with open(files[0], "rb") as file, av.open(file) as film:
        assert len(list(film.decode(video=0))) == 8
    save = ["--save", str(files[1]), "--csv", str(files[2])]
    assert main(["live", "--source", str(source), "--json", *save, "--summary", str(files[3])]) == 0
    assert main(["live", "--source", str(source), "--summary", str(files[4])]) == 0
    assert cv2.imdecode(np.frombuffer(files[1].read_bytes(), np.uint8), cv2.IMREAD_COLOR).shape == (480, 640, 3)
    (face,) = lines(capsys.readouterr().out)
    assert face["name"] == rows(files[2])[0]["name"] == rows(files[4])[0]["name"] == "caf\ufffd.png"
    assert "1 face in caf\ufffd.png;" in files[3].read_text(encoding="utf-8")
    assert main(["live", "--source", str(source)]) == 0
    assert capsys.readouterr().out.startswith("caf\ufffd.png  face 1 (")
    assert main(["live", "--source", str(source), str(two), "--csv", str(files[2])]) == 0
    assert rows(files[2])[0]["name"].endswith("/caf\ufffd.png")


@pytest.mark.parametrize("size, film", [((20_000, 9), (16_384, 8)), ((9, 20_000), (8, 16_384))])
def test_a_frame_too_wide_for_the_encoder_is_reduced(tmp_path, size, film):
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((*size[::-1], 3), np.uint8))
    (tmp_path / "o.mkv").write_text("older")
    assert main(["live", "--source", str(tmp_path / "wide.png"), "--save", str(tmp_path / "o.mkv")]) == 0
    ((_, image),) = decoded(tmp_path / "o.mkv")
    assert image.shape[1::-1] == film


def test_the_older_file_stays_if_the_encoder_cannot_be_opened(two, tmp_path, monkeypatch, capsys):
    (tmp_path / "o.mkv").write_text("older")
    monkeypatch.setattr(outputs, "LARGEST", 20_000)
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((9, 20_000, 3), np.uint8))
    assert main(["live", "--source", str(tmp_path / "wide.png"), "--save", str(tmp_path / "o.mkv")]) == 1
    assert "--save" in capsys.readouterr().err and (tmp_path / "o.mkv").read_text() == "older"


@pytest.mark.skipif(sys.platform == "win32", reason="this system's names of files have no line breaks")
def test_a_line_break_in_a_name_breaks_no_line(two, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "o.png"), frame({(200, 120): 160}))
    source = (tmp_path / "o.png").rename(tmp_path / "a\nb\x1b[2J\u2028c.png")
    assert main(["live", "--source", str(source)]) == 0
    assert capsys.readouterr().out.startswith("a\ufffdb\ufffd[2J\ufffdc.png  face 1 (")
    assert main(["live", "--source", str(source), "--csv", str(tmp_path / "o.csv")]) == 0
    assert len((tmp_path / "o.csv").read_text(encoding="utf-8").splitlines()) == 2
    source.write_bytes(b"no picture")
    assert main(["live", "--source", str(source)]) == 1
    assert "/a\ufffdb\ufffd[2J\ufffdc.png: found" in capsys.readouterr().err


def test_a_terminal_that_lacks_a_letter_gets_its_number(tmp_path):
    cv2.imwrite(str(tmp_path / "é.png"), frame({}))
    environment = os.environ | {"PYTHONPATH": f"{paths.ROOT}:{paths.ROOT / 'tests'}", "PYTHONIOENCODING": "ascii"}
    command = [*PROGRAM, "--source", str(tmp_path / "é.png")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stdout == "\\xe9.png  no face found\n"


@pytest.mark.parametrize(
    "outputs_, second",
    [
        (["--csv", "x.csv", "--summary", "x.csv"], "--summary x.csv"),
        (["--csv", "x.mkv", "--save", "x.mkv"], "--csv x.mkv"),
        (["--csv", "x.mkv", "--save", "down/../x.mkv"], "--csv x.mkv"),
        (["--csv", "link.csv", "--summary", "x.csv"], "--summary x.csv"),  # to a file that is not there
        (["--csv", "old.csv", "--summary", "oldlink.csv"], "--summary oldlink.csv"),
        (["--csv", "old.csv", "--summary", "hard.csv"], "--summary hard.csv"),
        (["--csv", "x.csv", "--summary", "X.CSV"], "--summary X.CSV"),
        (["--csv", "folder/x.csv", "--summary", "x.csv"], "--summary x.csv"),  # a link to the same folder
    ],
)
def test_two_outputs_to_one_file_are_refused_before_anything_is_written(
    two, tmp_path, monkeypatch, capsys, outputs_, second
):
    monkeypatch.chdir(tmp_path)
    Path("down").mkdir()
    Path("old.csv").write_text("of yesterday")
    Path("link.csv").symlink_to("x.csv")
    Path("oldlink.csv").symlink_to("old.csv")
    Path("hard.csv").hardlink_to("old.csv")
    Path("folder").symlink_to(tmp_path)
    before = sorted(os.listdir())
    assert main(["live", "--source", str(two), *outputs_]) == 1
    message = capsys.readouterr().err
    assert f"error: {second}: found a file that is written twice: it is that of --" in message
    assert sorted(os.listdir()) == before and Path("old.csv").read_text() == "of yesterday"


def test_lines_and_a_file_on_the_standard_output_are_refused(picture, tmp_path):
    with open(tmp_path / "all.txt", "w") as file:
        for path in ("/dev/stdout", tmp_path / "all.txt"):
            process = start("--source", picture, "--json", "--csv", path, stdout=file)
            errors = process.communicate()[1]
            assert process.returncode == 1 and "it is that of the standard output, with --json" in errors
    assert not (tmp_path / "all.txt").read_text()
    process = start("--source", picture, "--csv", "/dev/stdout")  # alone it may
    assert len(list(csv.DictReader(process.communicate()[0].splitlines()))) == 1
    assert start("--source", picture, "--csv", "/dev/null", "--summary", tmp_path / "o.csv").wait() == 0


def test_a_file_of_a_folder_that_is_the_source_is_not_written_over(tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    for name in "ab":
        cv2.imwrite(str(tmp_path / "folder" / f"{name}.png"), frame({}))
    before = (tmp_path / "folder" / "b.png").read_bytes()
    written = str(tmp_path / "folder" / "b.png")
    assert main(["live", "--source", str(tmp_path / "folder"), "--summary", written]) == 1
    assert "found the source itself" in capsys.readouterr().err
    assert (tmp_path / "folder" / "b.png").read_bytes() == before


@pytest.mark.parametrize("option, name", [("--csv", "a.csv"), ("--save", "a.mkv")])
def test_a_file_that_is_being_written_is_refused_and_nothing_else_is_touched(two, tmp_path, capsys, option, name):
    taken, others = tmp_path / name, {"--csv": tmp_path / "old.csv", "--save": tmp_path / "old.mkv"}
    for path in (taken, *others.values()):
        path.write_text("of yesterday")
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys, pathlib; from fer_lib.files import writing\n"
         "with writing.alone(pathlib.Path(sys.argv[1])): print(flush=True); sys.stdin.read()", str(taken)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=paths.ROOT,
    )  # fmt: skip
    process.stdout.readline()
    into = [str(each) for pair in ({**others, option: taken}).items() for each in pair]
    assert main(["live", "--source", str(two), *into]) == 1
    assert f"{name}: found a file that is being written, expected a file of one's own" in capsys.readouterr().err
    assert {path.read_text() for path in (taken, *others.values())} == {"of yesterday"}
    process.communicate()
    assert main(["live", "--source", str(two), *into]) == 0


def test_what_was_there_stays_until_the_first_frame(monkeypatch, tmp_path, capsys):
    files = [tmp_path / name for name in ("o.mkv", "o.csv", "all.csv")]
    for path in files:
        path.write_text("of yesterday" * 1000)
    seen = []

    def read():
        seen.append({path.read_bytes()[:12] for path in files})
        return len(seen) < 3, frame({(20, 40): 100}, 320, 240)

    camera = SimpleNamespace(isOpened=lambda: True, set=lambda *_: 0, read=read, release=lambda: None)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    into = ["--save", str(files[0]), "--csv", str(files[1]), "--summary", str(files[2])]
    main(["live", "--source", "0", *into])
    assert seen[0] == {b"of yesterday"} and len(seen[1]) == 3
    assert len(decoded(files[0])) == len(rows(files[1])) == 2 and b"yesterday" not in files[0].read_bytes()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("option, name", [("--csv", "o.csv"), ("--save", "o.mkv"), ("--save", "o.png"),
                                          ("--summary", "o.csv"), ("--summary", "o.html")])  # fmt: skip
def test_a_full_disk_is_an_error_that_names_option_and_file(picture, tmp_path, capsys, option, name):
    (tmp_path / name).symlink_to("/dev/full")
    assert main(["live", "--source", str(picture), option, str(tmp_path / name)]) == 1
    printed = capsys.readouterr().err.splitlines()
    (error,) = [line for line in printed if line.startswith("error: ")]
    assert error.startswith(f"error: {option} {tmp_path / name}: found no space left on device, expected ")
    assert error.endswith("; make room, correct the path or its permissions, or name another file")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [(), ("--json",), ("--json", "--per", "frame")])
def test_a_full_standard_output_is_one_error(picture, arguments):
    with open("/dev/full", "w") as full:
        process = start("--source", picture, *arguments, stdout=full)
        errors = process.communicate()[1]
    assert process.returncode == 1 and "Exception" not in errors
    assert "error: the standard output: found no space left on device" in errors


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_is_an_error_that_names_it(picture, tmp_path, capsys):
    (tmp_path / "o.csv").touch(0o400)
    assert main(["live", "--source", str(picture), "--csv", str(tmp_path / "o.csv")]) == 1
    assert f"error: --csv {tmp_path / 'o.csv'}: found permission denied" in capsys.readouterr().err


# ---- what is looked at, and what is flat


def test_only_a_region_is_searched_and_the_whole_frame_is_saved(two, tmp_path, capsys):
    files = tmp_path / "o.mkv", tmp_path / "o.csv"
    into = ["--save", str(files[0]), "--csv", str(files[1])]
    assert main(["live", "--source", str(two), "--region", "170,60,150,500", *into]) == 0
    found, frames = rows(files[1]), decoded(files[0])
    assert len(found) == len(frames) == 8 and {row["track"] for row in found} == {"1"}
    for row in found:
        left, top, width, height = (int(row[name]) for name in ("left", "top", "width", "height"))
        assert 180 < left < left + width < 280 and 80 < top < top + height < 180
    image = frames[0][1].astype(int)
    assert image.shape == (240, 320, 3)
    plain = decoded(two)[0][1].astype(int)
    edge = np.abs(image - plain)[:, 170].mean(axis=1)
    assert edge[62:238].mean() > 5 > edge[:50].mean()  # the region's edge, cut to the frame


def test_of_a_camera_too_each_nth_frame_is_looked_at(monkeypatch, capsys):
    left = [(True, frame({}, 64, 48))] * 9 + [(False, None)]
    camera = SimpleNamespace(isOpened=lambda: True, set=lambda *_: 0, read=lambda: left.pop(0), release=lambda: None)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    assert main(["live", "--source", "0", "--json", "--every", "4"]) == 1
    assert [each["frame"] for each in lines(capsys.readouterr().out)] == [0, 4, 8]


def test_frames_left_out_cost_only_their_decoding(tmp_path, monkeypatch, capsys):
    source = video(tmp_path / "a.mkv", [frame({(20, 40): 100}, 320, 240)] * 40)
    looked, look = [], pipeline.Watcher.look
    monkeypatch.setattr(pipeline.Watcher, "look", lambda self, *these: looked.append(1) or look(self, *these))
    assert main(["live", "--source", str(source), "--json", "--every", "10"]) == 0
    assert [(each["frame"], each["track"]) for each in lines(capsys.readouterr().out)] == [
        (k, 1) for k in (0, 10, 20, 30)
    ]
    assert len(looked) == 4
    for k, tone in enumerate((90, 120)):
        cv2.imwrite(str(tmp_path / f"{k}.png"), frame({}, 64, 48, tone=tone))
    pictures = [str(tmp_path / f"{k}.png") for k in range(2)]
    assert main(["live", "--source", *pictures, "--json", "--every", "10"]) == 0  # every picture stands for itself
    assert len(lines(capsys.readouterr().out)) == 2


def test_a_flat_face_is_marked_in_all_lines():
    def result(*faces):
        return pipeline.Result(0, 0.0, "a.png", np.zeros((90, 90, 3), np.uint8), faces, {})

    flat = pipeline.Face((0, 0, 9, 9), 1, np.full(7, 1 / 7), FER2013, abstained=True, flat=True)
    sure = pipeline.Face((20, 0, 9, 9), 2, np.eye(7)[5], FER2013, abstained=False)
    first, second = outputs.as_dicts(result(flat, sure))
    assert first["abstained"] is True and first["top2"] == [] and set(first["probabilities"].values()) == {0.1429}
    assert first["top_emotion"] == second["top_emotion"] == "surprise" and second["top2"][0] == "surprise"
    assert outputs.as_dicts(result(flat))[0]["top_emotion"] is None
    whole = summary.Summary()
    whole.add(result(flat), False)
    row = dict(zip(summary.HEAD, whole.rows()[0]))
    assert row["share_abstained"] == 1 and row["mean_angry"] == 0.1429
    assert outputs.overlay(result(flat)).any()


@pytest.mark.parametrize("tone", [0, 128, 255])
def test_a_flat_face_in_a_file(tmp_path, tone, monkeypatch, capsys):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((90, 90, 3), tone, np.uint8))
    found = lambda *_: lambda image, grey: np.array([(10, 10, 50, 50)])  # noqa: E731
    monkeypatch.setattr(pipeline.detectors, "detector", found)
    into = ["--csv", str(tmp_path / "o.csv"), "--threshold", "0"]
    assert main(["live", "--source", str(tmp_path / "a.png"), *into]) == 0
    (row,) = rows(tmp_path / "o.csv")
    assert row["abstained"] == "1" and row["first"] == row["second"] == row["top_emotion"] == "" and row["faces"] == "1"
    assert {row[name] for name in FER2013} == {"0.1429"}
    assert main(["live", "--source", str(tmp_path / "a.png")]) == 0
    assert "face 1 (50x50 at 10,10): abstained, nothing to see but one grey" in capsys.readouterr().out


def test_a_source_without_a_face_has_a_line_in_the_summary(two, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "none.png"), frame({}))
    table = tmp_path / "all.csv"
    assert main(["live", "--summary", str(table), "--source", str(tmp_path / "none.png"), str(two)]) == 0
    found = rows(table)
    assert [(row["name"], row["track"], row["frames"]) for row in found] == [
        (str(two), "1", "8"), (str(two), "2", "8"), (str(tmp_path / "none.png"), "", "0"),
    ]  # fmt: skip


# ---- several sources


def lines(printed: str) -> list[dict]:
    return [json.loads(line) for line in printed.splitlines()]


@pytest.fixture
def mixed(two, picture, tmp_path) -> list[str]:
    """A video, two pictures, one of them in a folder, and a shorter video."""
    (tmp_path / "folder").mkdir()
    cv2.imwrite(str(tmp_path / "folder" / "other.png"), frame({(200, 120): 160}, tone=90))
    short = video(tmp_path / "short.mkv", [frame({(20, 40): 100}, 320, 240)] * 3)
    return [str(two), str(picture), str(tmp_path / "folder"), str(short)]


def test_several_sources_are_watched_one_after_the_other(mixed, tmp_path, capsys):
    table, film = tmp_path / "o.csv", tmp_path / "o.mkv"
    assert main(["live", "--json", "--csv", str(table), "--save", str(film), "--source", *mixed]) == 0
    printed = capsys.readouterr()
    found = lines(printed.out)
    names = [mixed[0], mixed[1], str(tmp_path / "folder" / "other.png"), mixed[3]]
    assert [each["name"] for each in found] == names[:1] * 16 + [names[1], names[2]] + names[3:] * 3
    assert [each["frame"] for each in found] == [k // 2 for k in range(16)] + [0, 1, 0, 1, 2]
    assert [each["time"] for each in found][-5:] == [0, 0, 0, 0.04, 0.08]
    assert [each["track"] for each in found] == [1, 2] * 8 + [3, 4, 5, 5, 5]  # no number twice
    assert [(row["name"], int(row["track"])) for row in rows(table)] == [
        (each["name"], each["track"]) for each in found
    ]
    assert "13 frames, 21 faces" in printed.err
    times = [moment for moment, _ in decoded(film)]
    assert times == pytest.approx([*(k / 25 for k in range(8)), 1.28, 2.28, 3.28, 3.32, 3.36])
    assert main(["live", "--source", *mixed[:2]]) == 0
    printed = capsys.readouterr().out
    assert f"{mixed[0]} 0.28 s  face 2" in printed and f"{mixed[1]}  face 3 (" in printed


def test_patterns_are_expanded_in_the_order_of_names(mixed, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["live", "--json", "--source", "**/*.png", "sh*.mkv"]) == 0
    names = [each["name"] for each in lines(capsys.readouterr().out)]
    assert names == ["folder/other.png", "one.png", *["short.mkv"] * 3]
    assert main(["live", "--json", "--source", "one.png", "none*.mp4"]) == 1
    printed = capsys.readouterr()
    assert "error: none*.mp4: found no file that matches" in printed.err and not printed.out


def test_one_that_cannot_be_read_is_a_warning_and_only_all_an_error(mixed, tmp_path, capsys):
    (tmp_path / "text.mp4").write_text("text")
    (tmp_path / "broken.png").write_text("text")
    bad = [str(tmp_path / name) for name in ("text.mp4", "broken.png", "none.mp4", "none.png")]
    assert main(["live", "--json", "--source", bad[0], mixed[3], *bad[1:], mixed[1]]) == 0
    printed = capsys.readouterr()
    assert [each["name"] for each in lines(printed.out)] == [mixed[3]] * 3 + [mixed[1]]
    warned = [line for line in printed.err.splitlines() if line.startswith("warning: ")]
    assert len(warned) == 4 and "error" not in printed.err
    for name, message in (
        ("text.mp4", "read as a video"),
        ("broken.png", "no picture that can be decoded"),
        ("none.mp4", "no such file"),
        ("none.png", "no such file"),
    ):
        assert any(name in line and message in line for line in warned), name
    kept = tmp_path / "o.csv"
    kept.write_text("of yesterday")
    assert main(["live", "--csv", str(kept), "--source", *bad]) == 1
    assert "error: --source: found nothing that can be read, " in capsys.readouterr().err
    assert kept.read_text() == "of yesterday"


def test_none_of_several_sources_is_written_over(mixed, tmp_path, capsys):
    before = Path(mixed[3]).read_bytes()
    for option in ("--save", "--csv"):
        assert main(["live", option, mixed[3], "--source", *mixed]) == 1
    assert main(["live", "--summary", mixed[1], "--source", *mixed]) == 1
    assert capsys.readouterr().err.count("found the source itself") == 3 and Path(mixed[3]).read_bytes() == before


def test_a_line_a_frame_where_there_is_no_face_too(tmp_path, capsys):
    images = [frame({(20, 40): 100, (190, 90): 80} if k < 3 else {}, 320, 240) for k in range(10)]
    source = str(video(tmp_path / "a.mkv", images))
    assert main(["live", "--json", "--source", source]) == 0
    faces = lines(capsys.readouterr().out)
    assert main(["live", "--json", "--per", "frame", "--source", source]) == 0
    frames = lines(capsys.readouterr().out)
    assert [each["frame"] for each in frames] == list(range(10)) and frames[9]["faces"] == []
    assert [each["time"] for each in frames] == [k / 25 for k in range(10)]
    of_frame = [
        {key: value for key, value in each.items() if key != "faces"} | face
        for each in frames
        for face in each["faces"] or [NO_FACE]
    ]
    assert of_frame == faces and len(frames[0]["faces"]) == 2
    none = {"frame": 9, "time": 0.36, "name": source, "top_emotion": None, **NO_FACE}
    assert (
        faces[-1] == none
        and set(none) == set(faces[0])
        and [each["frame"] for each in faces[:7]] == [0, 0, 1, 1, 2, 2, 3]
    )
    assert main(["live", "--csv", str(tmp_path / "o.csv"), "--source", source]) == 0
    table = rows(tmp_path / "o.csv")
    assert [(int(row["frame"]), int(row["faces"])) for row in table] == [
        (each["frame"], len(each["faces"])) for each in frames for _ in each["faces"] or [None]
    ]
    assert [row["top_emotion"] for row in table] == [each["top_emotion"] or "" for each in faces]
    given = {"frame": "9", "time": "0.36", "name": source, "faces": "0"}
    assert {name: value for name, value in table[-1].items() if value} == given and None not in table[-1]
    capsys.readouterr()
    assert main(["live", "--source", source]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(table) and printed[-1] == "    0.36 s  no face found"
    assert main(["live", "--json", "--per", "frame", "--every", "4", "--source", source]) == 0
    assert [(each["frame"], each["time"]) for each in lines(capsys.readouterr().out)] == [(0, 0), (4, 0.16), (8, 0.32)]


# ---- summaries


def test_a_summary_has_one_line_a_face_that_agrees_with_all_lines(mixed, tmp_path, capsys):
    table, each = tmp_path / "all.csv", tmp_path / "each.csv"
    assert main(["live", "--summary", str(table), "--csv", str(each), "--threshold", "0.9", "--source", *mixed]) == 0
    assert not capsys.readouterr().out
    found, lines_ = rows(table), rows(each)
    assert [int(row["track"]) for row in found] == [1, 2, 3, 4, 5]
    for row in found:
        mine = [line for line in lines_ if line["track"] == row["track"]]
        assert {line["name"] for line in mine} == {row["name"]} and int(row["frames"]) == len(mine)
        assert (row["first"], row["last"]) == (mine[0]["time"], mine[-1]["time"])
        for name in FER2013:  # at a constant rate, shares of frames are shares of time
            share = np.mean([line["first"] == name and line["abstained"] == "0" for line in mine])
            assert float(row[f"share_{name}"]) == pytest.approx(share, abs=1e-4)
            assert float(row[f"mean_{name}"]) == pytest.approx(np.mean([float(line[name]) for line in mine]), abs=2e-4)
        assert float(row["share_abstained"]) == pytest.approx(
            np.mean([line["abstained"] == "1" for line in mine]), abs=1e-4
        )


def seen(*frames_) -> summary.Summary:
    """A summary of frames, each a time, a face's number, its likeliest emotion and whether that is abstained."""
    whole = summary.Summary()
    for k, (moment, track, emotion, left_open) in enumerate(frames_):
        probabilities = np.full(7, 0.05)
        probabilities[FER2013.index(emotion)] = 0.7
        face = pipeline.Face((0, 0, 9, 9), track, probabilities, FER2013, left_open)
        whole.add(pipeline.Result(k, moment, "a.mkv", None, (face,), {}), True)
    return whole


def test_shares_are_of_time_not_of_frames():
    whole = seen((0, 1, "happy", False), (0.4, 1, "sad", False), (0.5, 1, "sad", True), (0.9, 1, "happy", False))
    row = dict(zip(summary.HEAD, whole.rows()[0]))  # 0.4, 0.1, 0.4 and, as the last counts for the mean, 0.3 seconds
    shares = [row[name] for name in ("share_happy", "share_sad", "share_abstained", "share_fear")]
    assert shares == pytest.approx([7 / 12, 1 / 12, 4 / 12, 0], abs=1e-4)
    assert row["mean_happy"] == pytest.approx((0.7 * 7 + 0.05 * 5) / 12, abs=1e-4) and row["frames"] == 4


def test_a_long_video_needs_no_more_memory_and_shows_the_same():
    whole = seen(*((k / 25, 1 + k % 2, "happy" if k < 25_000 else "sad", False) for k in range(50_000)))
    points = [len(each.points) for each in whole.seen.values()]
    assert sum(points) == whole.kept <= summary.LIMIT + 8 and min(points) > 2000
    for each in whole.seen.values():
        assert sum(sums[-1] for sums in each.points.values()) == 25_000
        happy = [sums[3] / sums[-1] > 0.5 for _, sums in sorted(each.points.items())]
        assert 0.45 < np.mean(happy) < 0.55 and happy == sorted(happy, reverse=True)
    many = seen(*((k / 25, k, "happy", False) for k in range(6000)))
    assert len(many.seen) == many.kept == 6000  # however many faces there are, it ends
    assert len(summary.figure(many).axes) == summary.PANELS


def test_the_timeline_has_a_panel_a_face_and_says_what_it_shows():
    whole = seen(*((k / 25, 1 + k // 50, "happy" if k < 50 else "fear", k > 90) for k in range(100)))
    figure = summary.figure(whole)
    looked = "2 faces in a.mkv; 100 frames looked at, 0 without a face"
    assert figure.get_suptitle() == f"{looked}\n{summary.SENTENCE}"
    assert [axes.get_title("left") for axes in figure.axes] == [
        "Face 1, a.mkv: mostly happy", "Face 2, a.mkv: mostly fear, 18% of the time abstained",
    ]  # fmt: skip
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(FER2013)
    for axes, first, last in zip(figure.axes, (0, 2), (1.96, 3.96)):
        assert axes.get_xlim() == pytest.approx((0, 4)) and axes.get_ylim() == (0, 1)
        edges = np.concatenate([each.get_paths()[0].vertices for each in axes.collections])
        assert edges[:, 0].min() == pytest.approx(first) and edges[:, 0].max() == pytest.approx(last + 0.04)
        assert edges[:, 1].max() == pytest.approx(1) and edges[:, 1].min() == 0
    assert "No face was found" in summary.figure(summary.Summary()).get_suptitle()


@pytest.mark.parametrize("empty", [False, True])
def test_a_page_needs_nothing_beside_it(two, tmp_path, empty, capsys):
    odd = tmp_path / "a & <b>.mkv"
    odd.write_bytes(two.read_bytes() if not empty else video(tmp_path / "x.mkv", [frame({}, 64, 48)]).read_bytes())
    for kind in ("html", "png"):
        assert main(["live", "--summary", str(tmp_path / f"o.{kind}"), "--source", str(odd)]) == 0
    page = (tmp_path / "o.html").read_text()
    pictures = re.findall(r'src="([^"]*)"', page)
    assert len(pictures) == 1 and pictures[0].startswith("data:image/png;base64,") and "http" not in page
    content = np.frombuffer(base64.b64decode(pictures[0].split(",")[1]), np.uint8)
    assert cv2.imdecode(content, cv2.IMREAD_COLOR).shape == cv2.imread(str(tmp_path / "o.png")).shape
    assert page.count("<tr>") == (2 if empty else 3) and "<b>" not in page
    assert (
        "a &amp; &lt;b&gt;.mkv" in page and ("No face was found; 1 frame looked at, 1 without a face" in page) is empty
    )
    assert sorted(path.suffix for path in tmp_path.glob("o.*")) == [".html", ".png"]  # no half file beside it


def test_a_summary_stands_for_what_came_before_an_error_and_is_whole_or_the_old_one(monkeypatch, tmp_path, capsys):
    left = [(True, frame({(20, 40): 100}, 320, 240))] * 4 + [(False, None)]
    camera = SimpleNamespace(isOpened=lambda: True, set=lambda *_: 0, read=lambda: left.pop(0), release=lambda: None)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    (tmp_path / "o.csv").write_text("of yesterday")
    assert main(["live", "--source", "0", "--summary", str(tmp_path / "o.csv")]) == 1
    assert "found no further frame after 4" in capsys.readouterr().err
    assert [row["frames"] for row in rows(tmp_path / "o.csv")] == ["4"]
    (tmp_path / "o.png").write_text("of yesterday")
    monkeypatch.setitem(summary.KINDS, ".png", lambda whole: 1 / 0)
    cv2.imwrite(str(tmp_path / "1.bmp"), frame({}))
    with pytest.raises(ZeroDivisionError):
        main(["live", "--source", str(tmp_path / "1.bmp"), "--summary", str(tmp_path / "o.png")])
    assert (tmp_path / "o.png").read_text() == "of yesterday"


# ---- the bar


def on_a_terminal(*arguments, lines_too: bool = False) -> tuple[str, str]:
    """What a run prints on its standard output, and what its terminal shows: the errors, and where told the lines."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = start(*arguments, stdout=its if lines_too else subprocess.PIPE, stderr=its)
    os.close(its)
    shown, printed = b"", []
    reader = threading.Thread(target=lambda: printed.append("" if lines_too else process.stdout.read()))
    reader.start()
    with contextlib.suppress(OSError):  # EIO: nobody else has it open
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    reader.join()
    assert process.wait(60) == 0, shown
    return printed[0], shown.decode()


@pytest.fixture(scope="module")
def moving(tmp_path_factory) -> Path:
    """300 frames: a bar is drawn several times."""
    images = (frame({(10 + 2 * (k % 30), 20): 80}, 320, 240) for k in range(300))
    return video(tmp_path_factory.mktemp("moving") / "moving.mkv", images, preset="ultrafast")


def test_a_bar_is_on_a_terminal_and_never_among_the_lines(moving, two, monkeypatch):
    monkeypatch.setenv("TQDM_MININTERVAL", "0")
    printed, shown = on_a_terminal("--json", "--source", moving, two)
    assert len(lines(printed)) > 250
    assert re.search(r"1/2 moving\.mkv: +\d+%\|.*\| 00:0\d<00:\d\d", shown) and "308 frames" in shown
    process = start("--json", "--source", two)
    _, errors = process.communicate(timeout=60)
    assert errors.count("\n") == 1 and "%" not in errors  # no terminal, no bar
    _, shown = on_a_terminal("--json", "--source", moving, lines_too=True)
    found = [line.split("\r")[-1].strip() for line in shown.replace("\r\n", "\n").split("\n")]
    assert len(lines("\n".join(line for line in found if line.startswith("{")))) > 250
    assert not [line for line in found if "{" in line and "%|" in line] and "%|" in shown


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


def start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": f"{paths.ROOT}:{paths.ROOT / 'tests'}"}
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=stdout, stderr=stderr, text=True)


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
        faces = sum(row["track"] != "" for row in table)
        assert f"{len(frames)} frames, {faces} faces" in errors and int(table[-1]["frame"]) == last["frame"]
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
    all_in_all = tmp_path / "all.csv"
    process, memory = start("--source", long, "--save", files[0], "--csv", files[1], "--summary", all_in_all), []
    looked_at = psutil.Process(process.pid)
    while process.poll() is None:
        written = files[1].stat().st_size if files[1].exists() else 0
        if written > 50_000:  # some hundred frames: everything is loaded
            memory.append(looked_at.memory_info().rss / 2**20)
        time.sleep(0.2)
    assert process.returncode == 0 and "10000 frames, " in process.stderr.read()
    table, frames = rows(files[1]), decoded(files[0])
    assert len(frames) == 10_000 and [round(25 * moment) for moment, _ in frames] == list(range(10_000))
    assert [int(row["frame"]) for row in table] == list(range(10_000))
    seen = sum(row["track"] != "" for row in table)
    assert seen > 9_900  # a face is lost for a frame at times
    assert sum(int(row["frames"]) for row in rows(all_in_all)) == seen
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
    files = tmp_path / "o.mkv", tmp_path / "o.csv", tmp_path / "all.csv"
    handler = signal.getsignal(signal.SIGINT)
    into = ["--save", str(files[0]), "--csv", str(files[1]), "--summary", str(files[2])]
    assert main(["live", "--source", str(two), *into]) == 130
    assert len(decoded(files[0])) == 4 and len(rows(files[1])) == 8
    assert [row["frames"] for row in rows(files[2])] == ["4", "4"]
    assert "4 frames, 8 faces" in capsys.readouterr().err and signal.getsignal(signal.SIGINT) is handler


def test_where_only_live_is_installed_the_other_verbs_say_what_they_need():
    code = "import sys; sys.modules['yaml'] = None; from fer_lib.__main__ import main; sys.exit(main(['runs']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=paths.ROOT)
    assert done.returncode == 1
    assert done.stderr.startswith("error: runs: found no package yaml, expected what the study needs;")


@pytest.mark.parametrize("given", [["--region", "-5,-5,1000,1000"], ["--region=-5,-5,1000,1000"]])
def test_a_region_may_begin_outside(two, given, capsys):
    assert main(["live", "--source", str(two), *given]) == 0
    cut = capsys.readouterr().out
    assert main(["live", "--source", str(two)]) == 0
    assert capsys.readouterr().out == cut
