"""Sources of every kind: what is a picture, names, turned frames, clocks that jump, damage."""

import csv
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from fractions import Fraction
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from live_frames import Brightness, frame, video
from PIL import Image

from fer_lib import live, paths
from fer_lib.files import pictures, readable
from fer_lib.live import sources


def corner(image: np.ndarray) -> tuple[int, int]:
    """Which corner of a picture is white, the others are not: row and column, 0 or -1."""
    (found,) = [place for place in itertools.product((0, -1), repeat=2) if image[place].mean() > 200]
    return found


def odd_name(folder, ending: str) -> str:
    """A path whose file name is in Latin-1, not UTF-8."""
    return os.fsdecode(os.fsencode(folder) + b"/caf\xe9" + ending.encode())


# ---- turned and mirrored


def turned(path, degrees: float, mirrored: bool):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:16, :16] = 255
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(degrees, hflip=mirrored)  # against the clock, then mirrored left to right
        for _ in range(2):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        file.mux(stream.encode(None))
    return path, image


@pytest.mark.parametrize("kind", ["mp4", "mov"])
def test_all_eight_display_matrices_are_followed(tmp_path, kind):
    for degrees, mirrored in itertools.product((0, 90, 180, 270), (False, True)):
        path, stored = turned(tmp_path / f"a.{kind}", degrees, mirrored)
        expected = np.rot90(stored, degrees // 90)
        expected = expected[:, ::-1] if mirrored else expected
        found = [each.image for each in sources.frames(path)]
        assert len(found) == 2
        for image in found:
            assert image.shape == expected.shape and image.flags["C_CONTIGUOUS"], (degrees, mirrored)
            assert corner(image) == corner(expected), (degrees, mirrored)


@pytest.mark.parametrize("degrees, nearest", [(10, 0), (80, 90), (-80, 270), (170, 180)])
def test_other_angles_are_those_of_the_nearest_right_angle(tmp_path, degrees, nearest):
    path, stored = turned(tmp_path / "a.mp4", degrees, False)
    assert corner(next(sources.frames(path)).image) == corner(np.rot90(stored, nearest // 90))


@pytest.fixture
def unnamed_kinds():
    """As in a new process: PyAV knows no kind of side data but its own."""
    from av.sidedata.sidedata import Type

    if "_missing_" in vars(Type):
        del Type._missing_


@pytest.mark.parametrize("way", ["avi", "mkv", "mov", "mjpg", "file://", "pipe"])
@pytest.mark.usefixtures("unnamed_kinds")
def test_frames_with_exif_data_are_read_and_turned_as_it_says(tmp_path, way):
    stored = np.full((48, 64, 3), 60, np.uint8)
    stored[:16, :16] = 255
    for orientation in range(1, 9):
        content, tags = io.BytesIO(), Image.Exif()
        tags[0x0112], tags[0x010F] = orientation, "a camera"
        Image.fromarray(stored).save(content, "JPEG", quality=95, exif=tags)
        path, several = tmp_path / f"{orientation}.{way.strip(':/')}", 1
        if way == "mjpg":
            path.write_bytes(content.getvalue() * 3)
            several = 3
        elif way == "file://":
            path.write_bytes(content.getvalue())
        elif way == "pipe":
            os.mkfifo(path)
            threading.Thread(target=path.write_bytes, args=[content.getvalue()]).start()
        else:  # frames of a camera's Motion JPEG, which keep the EXIF data that each has
            several = 3
            with av.open(str(path), "w") as file:
                stream = file.add_stream("mjpeg", rate=25)
                stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
                for k in range(3):
                    packet = av.Packet(content.getvalue())
                    packet.stream, packet.pts, packet.dts, packet.time_base = stream, k, k, Fraction(1, 25)
                    file.mux(packet)
        expected = pictures.orient(stored, orientation)
        found = [each.image for each in sources.frames(f"file://{path}" if way == "file://" else path)]
        assert len(found) == several
        for image in found:
            assert image.shape == expected.shape and corner(image) == corner(expected), orientation


# ---- what is a picture


@pytest.mark.parametrize(
    "name, form",
    [("a.jfif", "JPEG"), ("a.jpe", "JPEG"), ("a", "JPEG"), ("a.mp4", "PNG"), ("a.png", "JPEG"), ("a.txt", "WEBP"),
     ("a.JPG", "TIFF"), ("a.avif", "AVIF"), ("a.jp2", "JPEG2000"), ("a.pnm", "PPM")],
)  # fmt: skip
def test_a_picture_is_one_whatever_its_name(tmp_path, name, form):
    image, tags = np.full((48, 64, 3), 100, np.uint8), Image.Exif()
    image[:16, :16] = 255
    tags[0x0112] = 7
    how = {} if form in ("JPEG2000", "PPM") else {"exif": tags}
    Image.fromarray(image).save(tmp_path / name, form, **how)
    assert not sources.moves(tmp_path / name) and sources.length(tmp_path / name) == 1
    (found,) = sources.frames(tmp_path / name)
    assert (found.index, found.time, found.name) == (0, 0, name)
    assert found.image.shape == ((64, 48, 3) if how else (48, 64, 3))
    assert corner(found.image) == ((-1, -1) if how else (0, 0))


def test_a_video_with_a_pictures_name_is_a_video_and_so_are_joined_jpegs(tmp_path):
    path = tmp_path / "a.gif"
    path.write_bytes(video(tmp_path / "a.mp4", [frame({}, 64, 48)] * 3).read_bytes())
    assert sources.moves(path) and len(list(sources.frames(path))) == 3
    joined = tmp_path / "a.mjpeg"
    joined.write_bytes(b"".join(pictures.encode(frame({}, 64, 48, tone=60 * k), ".jpg") for k in range(4)))
    assert sources.moves(joined)
    assert [round(float(each.image.mean())) for each in sources.frames(joined)] == [0, 60, 120, 180]


def test_a_folders_pictures_are_those_with_a_pictures_name_and_none_that_is_hidden(tmp_path):
    names = ["1.png", "2.jfif", "3.JPE", "4.avif", "5.pbm", "6.pnm"]
    for k, name in enumerate(names):
        (tmp_path / name).write_bytes(pictures.encode(frame({}, 64, 48, tone=30 * k), ".png"))
    for name in ("._1.png", ".DS_Store", ".hidden.jpg", "notes.txt", "Thumbs.db", "no ending"):
        (tmp_path / name).write_bytes(b"\0" * 100)
    (tmp_path / "folder.png").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(sources.frames(tmp_path))
    assert [each.name for each in found] == names and sources.length(tmp_path) == 6
    assert [int(each.image.mean()) for each in found] == [0, 30, 60, 90, 120, 150]


def test_a_pipe_in_a_list_is_left_out_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(pictures.encode(frame({}, 64, 48), ".png"))
    with pytest.warns(UserWarning, match=r"a\.png: found no regular file.*left out"):
        assert [each.name for each in sources.frames(tmp_path)] == ["b.png"]


@pytest.mark.parametrize("kind", ["array", "grey array", "pillow", "bytes"])
def test_a_picture_in_memory_is_a_source(kind):
    image = frame({(200, 120): 160})
    content = pictures.encode(image, ".png")
    given = {"array": image, "grey array": image[..., 0], "pillow": Image.open(io.BytesIO(content)), "bytes": content}
    (result,) = live.watch(given[kind], classifier=Brightness())
    assert (result.index, result.time, result.name) == (0, 0, "image") and len(result.faces) == 1
    np.testing.assert_array_equal(result.image, image)
    assert not sources.moves(given[kind]) and sources.length(given[kind]) == 1


def test_what_is_no_source_is_refused_in_words():
    with pytest.raises(TypeError, match="image: found an object of type NoneType, expected a path"):
        sources.frames(None)
    with pytest.raises(ValueError, match="found an array of shape"):
        live.watch(np.zeros((4, 4, 3)), classifier=Brightness())


# ---- names


def test_names_that_are_not_utf_8_are_read_and_can_be_written(tmp_path):
    folder = odd_name(tmp_path, "")
    os.mkdir(folder)
    for k, ending in enumerate((".png", ".jpg", ".tif", ".webp")):
        with open(odd_name(folder, ending), "wb") as file:
            Image.fromarray(frame({}, 64, 48, tone=50 * k)).save(
                file, {".jpg": "jpeg", ".tif": "tiff"}.get(ending, ending[1:])
            )
    found = list(sources.frames(folder))
    assert [each.name for each in found] == ["caf\ufffd.jpg", "caf\ufffd.png", "caf\ufffd.tif", "caf\ufffd.webp"]
    assert [round(float(each.image.mean())) for each in found] == [50, 0, 100, 150]
    first, *rest = [Image.fromarray(frame({}, 64, 48, tone=50 * k)) for k in range(3)]
    with open(odd_name(tmp_path, ".gif"), "wb") as file:
        first.save(file, "gif", save_all=True, append_images=rest)
    with open(odd_name(tmp_path, ".mp4"), "wb") as file:
        file.write(video(tmp_path / "a.mp4", [frame({}, 64, 48)] * 50).read_bytes())
    for ending, count in ((".gif", 3), (".mp4", 50)):
        found = list(sources.frames(odd_name(tmp_path, ending)))
        assert len(found) == count and {each.name for each in found} == {readable(odd_name(tmp_path, ending))}
        found[0].name.encode()  # else this raises
    assert sources.length(odd_name(tmp_path, ".mp4")) == pytest.approx(2, abs=0.05)
    with open(odd_name(tmp_path, ".png"), "wb") as file:
        file.write(b"no picture")
    for name in (odd_name(tmp_path, ".png"), odd_name(tmp_path, ".none")):
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            next(sources.frames(name))
        str(error.value).encode()


def test_the_command_writes_such_names(tmp_path):
    folder = odd_name(tmp_path, "")
    os.mkdir(folder)
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(tmp_path / name), frame({(200, 120): 160}))
        os.rename(tmp_path / name, odd_name(folder, name))
    command = [sys.executable, str(paths.ROOT / "tests" / "live_frames.py"), "--source", folder, "--json"]
    command += ["--detector", "tuned", "--csv", str(tmp_path / "out.csv")]
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT)}
    done = subprocess.run(command, capture_output=True, env=environment, cwd=paths.ROOT)
    assert done.returncode == 0, done.stderr
    names = ["caf\ufffd1.png", "caf\ufffd2.png"]
    assert [json.loads(line)["name"] for line in done.stdout.decode().splitlines()] == names
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == names


@pytest.mark.parametrize("name", ["concat:a.mp4", "12:30.mp4", "data:,x.mp4", "50%d.mp4"])
def test_a_name_is_no_protocol_and_no_pattern(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(video(tmp_path / "a.mp4", [frame({}, 64, 48)] * 3).read_bytes())
    monkeypatch.chdir(tmp_path)
    found = list(sources.frames(name))
    assert len(found) == 3 and found[0].name == name and sources.length(name) == pytest.approx(0.12)


# ---- clocks


def test_the_clock_of_joined_recordings_goes_on(tmp_path):
    images = [frame({}, 64, 48, tone=5 * k) for k in range(50)]
    recording = video(tmp_path / "a.ts", images, g="10").read_bytes()
    (tmp_path / "joined.ts").write_bytes(recording * 3)
    found = list(sources.frames(tmp_path / "joined.ts"))
    assert [each.index for each in found] == list(range(150))
    assert [each.time for each in found] == pytest.approx([k / 25 for k in range(150)], abs=1e-3)
    assert [float(each.image.mean()) for each in found] == pytest.approx([5 * k for k in range(50)] * 3, abs=8)
    some = list(sources.frames(tmp_path / "joined.ts", every=40))
    assert [each.time for each in some] == pytest.approx([0, 1.6, 3.2, 4.8], abs=1e-3)


@pytest.mark.parametrize(
    "clock, expected",
    [
        ([0, 0.5, 1.0, 0.0, 0.5], [0, 0.5, 1.0, 1.04, 1.54]),  # back to the beginning
        ([0, 1.0, 0.9, 1.0, 1.1], [0, 1.0, 1.04, 1.14, 1.24]),  # back a little
        ([0, 5.0, 5.0, 60.0], [0, 5.0, 5.0, 60.0]),  # it stands, and leaps forward
        ([3.0, 3.5, None, 0.0], [0, 0.5, 0.54, 0.58]),  # a frame without a time
        ([0, 1, 0, 1, 0, 1], [0, 1, 1.04, 2.04, 2.08, 3.08]),
    ],
)
def test_a_clock_never_goes_back(tmp_path, monkeypatch, clock, expected):
    source = video(tmp_path / "a.mkv", [frame({}, 64, 48)])
    made = [
        SimpleNamespace(time=moment, side_data={}, is_corrupt=False, to_ndarray=lambda **_: frame({}, 64, 48))
        for moment in clock
    ]
    monkeypatch.setattr(sources, "_decoded", lambda *_: iter(made))
    monkeypatch.setattr(sources, "_side_data", lambda each: each.side_data)
    assert [each.time for each in sources.frames(source)] == pytest.approx(expected)


# ---- animations and damage among several


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_an_animation_among_several_says_that_only_its_first_frame_is_looked_at(tmp_path, form):
    first, *rest = [Image.fromarray(frame({}, 64, 48, tone=40 * k)) for k in range(1, 6)]
    path = tmp_path / f"a.{form.lower()}"
    first.save(path, form, save_all=True, append_images=rest, duration=[100, 200, 300, 100, 100])
    cv2.imwrite(str(tmp_path / "b.jpg"), frame({}, 64, 48))
    for source in (tmp_path, [path, tmp_path / "b.jpg"]):
        with pytest.warns(UserWarning) as told:
            found = list(sources.frames(source))
        assert [int(each.image.mean()) for each in found] == [40, 128]
        (warning,) = told
        assert str(warning.message) == (
            f"{path}: found 5 frames, looked at the first only; name the file itself as a source to see all"
        )
    assert sources.moves(path)
    found = list(sources.frames(path))
    assert [int(each.image.mean()) for each in found] == [40, 80, 120, 160, 200]
    assert [each.time for each in found] == pytest.approx([0, 0.1, 0.3, 0.6, 0.7])


def noise(count: int) -> list[np.ndarray]:
    """Frames of coarse noise, so that each takes some bytes."""
    return list(np.random.default_rng(0).integers(0, 255, (count, 12, 16, 3), np.uint8).repeat(8, 1).repeat(8, 2))


@pytest.mark.parametrize(
    "codec, ending", [("libx264", "ts"), ("libx264", "mp4"), ("mpeg4", "avi"), ("mpeg2video", "ts")]
)
def test_frames_of_which_a_part_is_damaged_are_left_out_and_counted(tmp_path, codec, ending):
    path = video(tmp_path / f"a.{ending}", noise(20), codec=codec, g="5", bf="0")
    whole = [each.image for each in sources.frames(path)]
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as file:
        tenth = [packet for packet in file.demux(video=0) if packet.size][9]
    place = content.index(bytes(tenth)[40:60])
    content[place : place + 20] = b"\xa5" * 20
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=rf"a\.{ending}: found 1 damaged of 20 frames, first frame 9: .*; left out"):
        found = list(sources.frames(path))
    assert [each.index for each in found] == [k for k in range(20) if k != 9]
    assert [each.time for each in found] == pytest.approx([k / 25 for k in range(20) if k != 9], abs=1e-3)
    for each in found[:9]:
        np.testing.assert_array_equal(each.image, whole[each.index])


@pytest.mark.parametrize("codec, pix_fmt", [("mjpeg", "yuvj420p"), ("png", "rgb24")])
def test_frames_that_are_pictures_are_left_out_if_they_are_cut_off(tmp_path, codec, pix_fmt):
    path = video(tmp_path / "a.mov", noise(5), codec=codec, pix_fmt=pix_fmt)
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as file:
        third = [packet for packet in file.demux(video=0) if packet.size][2]
    place = content.index(bytes(third)) + third.size // 2
    content[place] ^= 255  # of a PNG, a byte is enough
    if codec == "mjpeg":
        content[place : place + third.size // 2] = b"\xff\xd9".ljust(third.size // 2, b"\0")
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"a\.mov: found 1 damaged of 5 frames, first frame 2: .*; left out"):
        assert [each.index for each in sources.frames(path)] == [0, 1, 3, 4]


def test_pages_are_no_animation(tmp_path):
    first, *rest = [Image.fromarray(frame({}, 64, 48, tone=40 * k)) for k in range(3)]
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest)
    assert not sources.moves(tmp_path / "a.tif")
    with pytest.warns(UserWarning, match=r"a\.tif: found 3 pages, looked at the first only$"):
        assert len(list(sources.frames(tmp_path / "a.tif"))) == 1


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "tiff", "bmp", "gif"])
def test_a_picture_cut_off_is_an_error_or_left_out_with_a_warning(tmp_path, form):
    noise = np.random.default_rng(0).integers(0, 255, (100, 120, 3), np.uint8)
    path = tmp_path / f"a.{form}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=rf"a\.{form}: found an incomplete or damaged picture, 3,000 bytes"):
        next(sources.frames(path))
    cv2.imwrite(str(tmp_path / "b.png"), noise)
    with pytest.warns(UserWarning, match=rf"a\.{form}: found an incomplete or damaged picture, .*; left out") as told:
        (found,) = sources.frames(tmp_path)
    assert len(told) == 1
    assert (found.index, found.name) == (1, "b.png")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="found no picture that can be read"):
        os.remove(tmp_path / "b.png")
        next(sources.frames(tmp_path))


def test_what_is_missing_from_a_list_is_left_out(tmp_path):
    with pytest.warns(UserWarning, match=r"none\.png: found no such file, expected a picture; .*; left out"):
        assert list(sources.frames([tmp_path / "none.png"])) == []


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_a_video_whose_title_is_not_utf_8_plays(tmp_path, ending):
    import av

    path = tmp_path / f"video{ending}"
    with av.open(str(path), "w") as file:
        file.metadata["title"] = "XXXX of 1999"
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "bgr24")))
        file.mux(stream.encode(None))
    assert path.read_bytes().count(b"XXXX of 1999") == 1
    path.write_bytes(path.read_bytes().replace(b"XXXX", b"caf\xe9"))
    assert len(list(sources.frames(path))) == 5
    assert sources.length(path) == pytest.approx(0.2, abs=0.02)


def test_pixels_that_are_not_square_are_shown_as_wide_as_they_are(tmp_path):
    with av.open(str(tmp_path / "dv.mkv"), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 96, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        image = np.zeros((96, 64, 3), np.uint8)
        image[:, 32:] = 255
        file.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        file.mux(stream.encode(None))
    (only,) = sources.frames(tmp_path / "dv.mkv")
    assert only.image.shape == (96, 128, 3)
    assert only.image[48, 20].max() < 20 and only.image[48, 100].min() > 235


@pytest.mark.parametrize("source", [10**12, "99999999999", ""])
def test_what_is_no_camera_and_no_file_is_refused(source):
    with pytest.raises((FileNotFoundError, ValueError), match="found no such file|source: found nothing"):
        list(sources.frames(source))


def test_a_silent_pipe_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "PATIENCE", 0.3)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe: found nothing for 0 seconds, expected a video; check the sender"):
        next(sources.frames(tmp_path / "pipe"))
    other = os.open(tmp_path / "pipe", os.O_RDWR)  # a writer that says nothing
    with pytest.raises(OSError, match="pipe: found nothing for 0 seconds"):
        next(sources.frames(tmp_path / "pipe"))
    os.close(other)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_for_a_pipe(tmp_path, number):
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, str(paths.ROOT / "tests" / "live_frames.py"), "--source", str(tmp_path / "pipe")]
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, cwd=paths.ROOT)
    writer = os.open(tmp_path / "pipe", os.O_WRONLY)  # waits until it is read
    time.sleep(0.2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=5)
    os.close(writer)
    assert process.returncode == 130 and b"interrupted" in errors and b"no frame" not in errors


def test_a_list_may_have_pictures_in_memory(tmp_path):
    image = np.full((20, 30, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    given = [image, tmp_path / "a.png", Image.fromarray(image), (tmp_path / "a.png").read_bytes(), b"none"]
    with pytest.warns(UserWarning, match="image: found no picture that can be decoded, 4 bytes"):
        found = list(sources.frames(given))
    assert [(each.index, each.name) for each in found] == [
        (0, "image"), (1, str(tmp_path / "a.png")), (2, "image"), (3, "image"),
    ]  # fmt: skip
    assert all((each.image == 90).all() and each.image.shape == (20, 30, 3) for each in found)
    for wrong in (5, [image], None):
        with pytest.raises(TypeError, match="(source|image): found .*, expected .*; "):
            list(sources.frames([image, wrong]))


@pytest.mark.parametrize(
    "url, shown",
    [
        ("rtsp://me:secret@h/x", "rtsp://h/x"),
        ("http://h/x?password=sec_ret/1&x=1", "http://h/x?password=...&x=1"),
        ("http://h/x?fps=30&design=2&monkey_size=3", "http://h/x?fps=30&design=2&monkey_size=3"),
        ("rtsp://h:554/user=admin_password=secret_channel=1", "rtsp://h:554/user=admin_password=..."),
        ("http://h/?api_key=secret#token=secret", "http://h/?api_key=...#token=..."),
        ("file.mp4", "file.mp4"),
    ],
)
def test_a_password_is_not_shown_and_what_is_none_is(url, shown):
    assert sources.without_password(url) == shown
