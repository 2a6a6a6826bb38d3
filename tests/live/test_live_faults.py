"""``fer live`` where something fails: cameras and streams that hang, full disks, closed pipes, signals. Each time a
real process ends soon, with one message and the right exit code, and what it wrote is whole as far as it goes."""

import csv
import io
import itertools
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import cv2
import numpy as np
import psutil
import pytest
from live_frames import Brightness, frame, video

from fer_lib import paths
from fer_lib.live import pipeline

slow = pytest.mark.slow

PATIENCE = 1.0
"""Seconds for which the processes here wait, in place of ten."""
CODE = """
import sys, threading, time
import cv2, numpy as np
import live_frames
from fer_lib.live import sources
from fer_lib.__main__ import main
live_frames.install()
sources.PATIENCE, sources.HOPE = {patience}, 3 * {patience}
{before}
sys.exit(main(["live", "--detector", "tuned", *sys.argv[1:]]))
"""
CAMERA = """
image = live_frames.frame({(20, 40): 100}, 320, 240)
class Camera:
    count = 0
    def __init__(self, number): pass
    def isOpened(self): return True
    def set(self, *_): return True
    def release(self): pass
    def read(self):
        self.count += 1
        time.sleep(0.01)
        return self.then() if self.count > 5 else (True, image.copy())
cv2.VideoCapture = Camera
"""
HANGS = CAMERA + "Camera.then = lambda self: threading.Event().wait()"


def start(*arguments, before: str = "", **given) -> subprocess.Popen:
    """The command in a process of its own, with a stand-in for the classifier, after the code ``before``."""
    code = CODE.format(patience=PATIENCE, before=before)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": f"{paths.ROOT}:{paths.ROOT / 'tests'}"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    return subprocess.Popen(command, **(streams | given))


def ended(process: subprocess.Popen, seconds: float = 30) -> tuple[int, str, str]:
    """Exit code, and what it printed; it has to end in time, without a traceback."""
    try:
        printed, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        printed, errors = process.communicate()
        raise AssertionError(f"it did not end in {seconds} seconds: {errors}") from None
    assert "Traceback" not in errors and "Exception" not in errors, errors
    return process.returncode, printed, errors


def outputs(folder: Path) -> tuple[list, dict[str, Path]]:
    """The options for all files at once, and the files."""
    files = {"save": folder / "o.mkv", "csv": folder / "o.csv", "summary": folder / "all.csv"}
    return [each for name, path in files.items() for each in (f"--{name}", path)], files


def rows(path: Path) -> list[dict]:
    """The lines of a table, all of them whole."""
    content = path.read_bytes()
    assert content.endswith(b"\n")
    found = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert all(None not in row and None not in row.values() for row in found)
    return found


def played(path: Path) -> int:
    """How many frames of a video play."""
    with av.open(str(path)) as film:
        return sum(1 for _ in film.decode(video=0))


def check_files(files: dict[str, Path], frames: int) -> None:
    """Every output has so many frames."""
    table = rows(files["csv"])
    assert {int(row["frame"]) for row in table} == set(range(frames)) and played(files["save"]) == frames
    faces = sum(row["track"] != "" for row in table)
    assert sum(int(row["frames"]) for row in rows(files["summary"])) == faces


def the_error(errors: str) -> str:
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


# ---- cameras


@pytest.mark.parametrize(
    "then, message",
    [
        ("threading.Event().wait()", "no further frame after 5 for 1 seconds; plug it in again, or start it anew"),
        pytest.param("(False, None)", "no further frame after 5; see that it is plugged in", marks=slow),
        pytest.param("(True, None)", "no further frame after 5; see that it is plugged in", marks=slow),
    ],
)
def test_a_camera_that_stops_is_an_error_and_files_are_whole(tmp_path, then, message):
    options, files = outputs(tmp_path)
    code, _, errors = ended(start("--source", "0", *options, before=f"{CAMERA}Camera.then = lambda self: {then}"), 15)
    assert code == 1 and the_error(errors) == f"camera 0: found {message}" and "5 frames, " in errors
    check_files(files, 5)


@slow
def test_a_camera_that_hangs_while_it_is_opened_is_an_error(tmp_path):
    options, files = outputs(tmp_path)
    before = CAMERA + "Camera.__init__ = lambda self, number: threading.Event().wait()"
    code, _, errors = ended(start("--source", "0", *options, before=before), 15)
    assert code == 1 and the_error(errors).startswith("camera 0: found none that opens for 1 seconds; plug ")
    assert not any(path.exists() for path in files.values())


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_for_a_camera_at_once(tmp_path, number):
    options, files = outputs(tmp_path)
    process = start("--source", "0", *options, "--json", before=HANGS + "\nsources.PATIENCE = 60")
    for _ in range(5):
        json.loads(process.stdout.readline())
    time.sleep(0.3)
    process.send_signal(number)
    sent = time.monotonic()
    code, _, errors = ended(process, 20)
    assert code == 130 and time.monotonic() - sent < 5 and "5 frames, " in errors
    check_files(files, 5)


@slow
def test_frames_of_a_camera_may_change_their_size_and_colours(tmp_path):
    options, files = outputs(tmp_path)
    then = """
def then(self):
    k = self.count - 6
    shown = [image[:200, :300], image[..., 0], np.zeros_like(image), image[..., :1], image]
    return (True, np.ascontiguousarray(shown[k])) if k < 5 else (False, None)
Camera.then = then
"""
    code, _, errors = ended(start("--source", "0", *options, before=CAMERA + then), 15)
    assert code == 1 and "found no further frame after 10;" in the_error(errors)
    check_files(files, 10)


# ---- streams


def jpeg(k: int) -> bytes:
    return cv2.imencode(".jpg", frame({(20 + 2 * k, 40): 100}, 320, 240, tone=90 + k))[1].tobytes()


def parts(count: int) -> list[bytes]:
    """A stream of pictures, as many network cameras send it: each with a head of its own."""
    head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
    return [head % len(picture) + picture + b"\r\n" for picture in map(jpeg, range(count))]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n"
SECRET = "someone:s3cr3t@w0rd"


@contextmanager
def server(answer):
    """A server that calls ``answer(connection)`` after each request; its address, with a password."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection):
        with suppress(OSError), connection:
            connection.recv(10_000)
            answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://{SECRET}@127.0.0.1:{listening.getsockname()[1]}/camera?user=me&pwd=s3cr3t"
    finally:
        listening.close()


def silent(connection):
    time.sleep(60)


def headers(connection):
    connection.sendall(HEAD)
    time.sleep(60)


def half(connection):
    connection.sendall(HEAD + b"".join(parts(30)) + parts(1)[0][:2000])
    time.sleep(60)


def trickle(connection):
    connection.sendall(HEAD + b"".join(parts(30)))
    for byte in parts(1)[0]:
        connection.sendall(bytes([byte]))
        time.sleep(0.2)


def closes(connection):
    connection.sendall(HEAD + b"".join(parts(30)) + parts(1)[0][:2000])


def garbage(connection):
    connection.sendall(HEAD + b"".join(parts(30)))
    noise = np.random.default_rng(0).bytes(50_000)
    while True:
        connection.sendall(noise)
        time.sleep(0.01)


def bad_pictures(connection):
    connection.sendall(HEAD + b"".join(parts(30)))
    picture = jpeg(0)
    bad = parts(1)[0].replace(picture, picture[:2000] + b"\xff\xd9".ljust(len(picture) - 2000, b"\0"))
    while True:
        connection.sendall(bad)
        time.sleep(0.05)


def status(text: str):
    def answer(connection):
        connection.sendall(f"HTTP/1.1 {text}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    return answer


@pytest.mark.parametrize(
    "answer, message",
    [
        (silent, "found nothing to be read as a video for 1 seconds, expected a video or a stream; check the sender"),
        pytest.param(
            headers,
            "found nothing to be read as a video for 1 seconds, expected a video or a stream; check the sender",
            marks=slow,
        ),
        pytest.param(
            status("404 Not Found"), "found nothing to be read as a video (Server returned 404 Not Found)", marks=slow
        ),
        pytest.param(
            status("401 Unauthorized"),
            "found nothing to be read as a video (Server returned 401 Unauthorized",
            marks=slow,
        ),
        pytest.param(status("302 Found\r\nLocation: /camera"), "found nothing to be read as a video (", marks=slow),
    ],
)
def test_a_stream_that_does_not_begin(tmp_path, answer, message):
    options, files = outputs(tmp_path)
    with server(answer) as address:
        code, _, errors = ended(start("--source", address, *options), 20)
    assert code == 1 and message in the_error(errors) and "s3cr3t" not in errors and "w0rd" not in errors
    assert not any(path.exists() for path in files.values())


@pytest.mark.parametrize(
    "answer, message",
    [
        (half, "for 1 seconds; check the sender"),
        pytest.param(trickle, "for 1 seconds; check the sender", marks=slow),
        pytest.param(closes, "check the sender", marks=slow),
        pytest.param(
            garbage,
            "found no further frame after 30 (Invalid data found when processing input); check the sender",
            marks=slow,
        ),
        pytest.param(bad_pictures, "found no whole frame for 3 seconds, only damaged ones, after", marks=slow),
    ],
)
def test_a_stream_that_stops_in_the_middle(tmp_path, answer, message):
    options, files = outputs(tmp_path)
    with server(answer) as address:
        code, printed, errors = ended(start("--source", address, "--json", "--per", "frame", *options), 20)
    assert code == 1 and message in the_error(errors), errors
    found = [json.loads(line) for line in printed.splitlines()]
    check_files(files, len(found))
    assert 25 <= len(found) <= 31
    everything = errors + printed + "".join(path.read_bytes().decode("latin-1") for path in files.values())
    assert "s3cr3t" not in everything and "w0rd" not in everything


@slow
@pytest.mark.parametrize("address", ["rtsp://{0}@127.0.0.1:9/live", "rtmp://{0}@127.0.0.1:9/live", "tcp://127.0.0.1:9"])
def test_where_nobody_listens_is_an_error_at_once(address):
    code, _, errors = ended(start("--source", address.format(SECRET)), 10)
    assert code == 1 and "found nothing to be read as a video (Connection refused)" in the_error(errors)
    assert "s3cr3t" not in errors and "w0rd" not in errors


@slow
def test_packets_that_never_come_are_an_error(tmp_path):
    code, _, errors = ended(start("--source", "udp://127.0.0.1:19997"), 15)
    assert code == 1 and "found nothing to be read as a video for 1 seconds" in the_error(errors)


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """300 frames with a face that moves."""
    images = (frame({(20 + k % 100, 40): 100}, 320, 240) for k in range(300))
    return video(tmp_path_factory.mktemp("film") / "film.ts", images, preset="ultrafast", g="25")


@slow
@pytest.mark.parametrize("then", ["stalls", "trickles", "closes"])
def test_a_named_pipe_whose_writer_stops_in_the_middle(tmp_path, film, then):
    options, files = outputs(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    process = start("--source", tmp_path / "pipe", *options)
    content = film.read_bytes()
    middle, done = len(content) // 2 + 77, threading.Event()

    def write():
        with suppress(OSError), open(tmp_path / "pipe", "wb", buffering=0) as pipe:
            pipe.write(content[:middle])
            while then != "closes" and not done.wait(0.2):
                if then == "trickles":
                    pipe.write(content[middle : middle + 1])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        code, _, errors = ended(process, 20)
    finally:
        done.set()
        writer.join()
    if then == "closes":  # as of a file that ends there
        assert code == 0 and "error" not in errors
    else:
        assert code == 1 and "found no further frame after" in (said := the_error(errors)) and "for 1 seconds" in said
    found = played(files["save"])
    assert 120 < found < 160 and f"{found} frames, " in errors
    check_files(files, found)


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_stream_is_opened_ends_at_once(number):
    with server(silent) as address:
        process = start("--source", address, before="sources.PATIENCE = 60; print('ready', flush=True)")
        process.stdout.readline()
        time.sleep(1)
        process.send_signal(number)
        sent = time.monotonic()
        code, _, errors = ended(process, 20)
    assert code == 130 and time.monotonic() - sent < 3 and errors == "interrupted; call the same command again\n"


def test_a_signal_in_a_stalled_stream_of_several_sources_opens_no_other(tmp_path, film):
    options, files = outputs(tmp_path)
    with server(half) as address:
        sources_ = ["--source", address, film, *options, "--json", "--per", "frame"]
        process = start(*sources_, before="sources.PATIENCE = 60")
        for _ in range(25):
            process.stdout.readline()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        code, _, errors = ended(process, 10)
    assert code == 130 and "film.ts" not in files["csv"].read_text()
    check_files(files, played(files["save"]))


@slow
def test_a_process_that_was_stopped_for_long_goes_on(tmp_path, film):
    os.mkfifo(tmp_path / "pipe")
    process = start("--source", tmp_path / "pipe", "--json", "--per", "frame")
    content, go = film.read_bytes(), threading.Event()

    def write():
        with open(tmp_path / "pipe", "wb", buffering=0) as pipe:
            pipe.write(content[: len(content) // 2])
            go.wait(30)
            pipe.write(content[len(content) // 2 :])

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(100):
        process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    time.sleep(2 * PATIENCE)
    process.send_signal(signal.SIGCONT)
    go.set()
    code, printed, errors = ended(process)
    writer.join()
    assert code == 0 and len(printed.splitlines()) == 200 and "300 frames" in errors


# ---- what cannot be written


def limited(size: int):
    """For a process whose files may not be larger than this."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_video_that_can_grow_no_more_is_named_and_everything_else_is_whole(tmp_path, film):
    options, files = outputs(tmp_path)
    code, printed, errors = ended(start("--source", film, "--json", *options, preexec_fn=limited(60_000)))
    message = f"--save {files['save']}: found file too large, expected what can be written to; make room, "
    assert code == 1 and the_error(errors).startswith(message)
    frames = len(printed.splitlines())
    assert 3 < frames < 300 and abs(played(files["save"]) - frames) <= 1
    assert len(rows(files["csv"])) == sum(int(row["frames"]) for row in rows(files["summary"])) == frames


def test_a_table_that_can_grow_no_more_is_named_and_its_lines_are_whole(tmp_path, film):
    options, files = outputs(tmp_path)
    code, printed, errors = ended(start("--source", film, "--json", *options[2:], preexec_fn=limited(20_000)))
    message = f"--csv {files['csv']}: found file too large, expected what can be written to; make room, "
    assert code == 1 and the_error(errors).startswith(message)
    frames = len(printed.splitlines())
    assert 3 < frames < 300 and len(rows(files["csv"])) == frames
    assert sum(int(row["frames"]) for row in rows(files["summary"])) in (frames, frames + 1)


@pytest.fixture
def disk(tmp_path):
    """A disk of 100 KB; it takes root to make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "none", folder]).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@slow
def test_a_disk_that_is_full_while_all_is_written_to_it(disk, film):
    options, files = outputs(disk)
    code, printed, errors = ended(start("--source", film, "--json", *options))
    assert code == 1
    first, *others = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert ": found no space left on device, expected what can be written to; make room" in first
    assert first.startswith((f"error: --save {files['save']}", f"error: --csv {files['csv']}"))
    frames = len(printed.splitlines())
    assert played(files["save"]) >= frames - 1 > 10
    assert len(rows(files["csv"])) >= frames - 1
    assert not list(disk.glob(".*"))


@slow
def test_a_full_disk_under_the_lines(disk, film, tmp_path):
    options, files = outputs(tmp_path)
    with open(disk / "lines.json", "w") as lines:
        code, _, errors = ended(start("--source", film, film, "--json", *options, stdout=lines))
    assert code == 1 and the_error(errors).startswith("the standard output: found no space left on device, expected ")
    assert played(files["save"]) == len(rows(files["csv"])) > 200


# ---- pipes and streams that are closed


@slow
@pytest.mark.parametrize("more", [["--json"], []])
def test_head_ends_it_without_a_word(film, tmp_path, more):
    process = start("--source", film, *more)
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(20) == 0 and errors.count("\n") == 1 and " frames, " in errors


@slow
def test_both_streams_closed_and_files_whole(film, tmp_path):
    options, files = outputs(tmp_path)
    closed = lambda: (os.close(1), os.close(2))  # noqa: E731
    for more in ([], ["--json"]):
        process = start("--source", film, *options, *more, stdout=None, stderr=None, preexec_fn=closed)
        assert process.wait(30) == 0
        check_files(files, 300)


@slow
def test_a_slow_reader_loses_no_line_and_costs_no_memory(film):
    process = start("--source", film, film, film, film, "--json", "--per", "frame")
    looked, memory, count = psutil.Process(process.pid), [], 0
    for line in process.stdout:
        json.loads(line)
        count += 1
        if count % 100 == 0:
            memory.append(looked.memory_info().rss / 2**20)
            time.sleep(0.2)
    assert process.wait(20) == 0 and count == 1200 and max(memory[3:]) - max(memory[:3]) < 20


@slow
def test_a_reader_that_is_killed_ends_it(film, tmp_path):
    options, files = outputs(tmp_path)
    reader = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.readline(); sys.stdin.read()"],
                              stdin=subprocess.PIPE)  # fmt: skip
    process = start("--source", *[film] * 20, "--json", *options, stdout=reader.stdin)
    reader.stdin.close()
    time.sleep(2.5)
    reader.kill()
    reader.wait()
    code, _, errors = ended(process)
    assert code == 0 and " frames, " in errors
    assert len(rows(files["csv"])) > 10 and played(files["save"]) == len(rows(files["csv"]))


# ---- signals


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_where_nobody_reads_the_lines(film, tmp_path, number):
    options, files = outputs(tmp_path)
    process = start("--source", *[film] * 20, "--json", *options)
    process.stdout.readline()
    time.sleep(2)  # the pipe is full by now
    for _ in range(2):
        process.send_signal(number)
        time.sleep(0.5)
    sent = time.monotonic()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 130 and time.monotonic() - sent < 5
    assert played(files["save"]) == len(rows(files["csv"])) > 10
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_files_are_closed_loses_nothing(film, tmp_path, number):
    options, files = outputs(tmp_path)
    slowly = """
from fer_lib.live import summary
made = summary.KINDS[".csv"]
def as_csv(whole):
    print("closing", flush=True)
    time.sleep(1)
    return made(whole)
summary.KINDS[".csv"] = as_csv
"""
    process = start("--source", film, *options, before=slowly)
    assert process.stdout.readline() == "closing\n"
    process.send_signal(number)
    code, _, errors = ended(process)
    assert code == 130 and "300 frames" in errors
    check_files(files, 300)


@slow
def test_a_killed_process_leaves_files_that_play(film, tmp_path):
    options, files = outputs(tmp_path)
    process = start("--source", *[film] * 20, *options, "--json")
    for _ in range(100):
        process.stdout.readline()
    process.kill()
    process.communicate()
    assert played(files["save"]) >= 99 and len(rows(files["csv"])) >= 99
    assert not files["summary"].exists()


# ---- frames of every kind


@slow
def test_rates_sizes_and_numbers_of_faces_that_are_rare(tmp_path):
    options, files = outputs(tmp_path)
    slow = video(tmp_path / "slow.mkv", [frame({(20, 40): 100}, 320, 240)] * 3, rate=1)
    fast = video(tmp_path / "fast.mkv", [frame({(20, 40): 100}, 320, 240)] * 30, rate=1000)
    cv2.imwrite(str(tmp_path / "8k.jpg"), frame({(3000, 2000): 900}, 7680, 4320))
    many = {(64 * (k % 25), 64 * (k // 25)): 56 for k in range(500)}
    cv2.imwrite(str(tmp_path / "many.png"), frame(many, 1600, 1280))
    given = ["--source", slow, fast, tmp_path / "8k.jpg", tmp_path / "many.png"]
    code, printed, _ = ended(start(*given, "--json", "--per", "frame", *options), 60)
    found = [json.loads(line) for line in printed.splitlines()]
    assert code == 0 and len(found) == played(files["save"]) == 3 + 30 + 2
    assert [each["time"] for each in found[:3]] == [0, 1, 2] and found[32]["time"] == 0.029
    assert len(found[33]["faces"]) == 1 and len(found[34]["faces"]) > 300
    assert len(rows(files["csv"])) == sum(max(1, len(each["faces"])) for each in found)


@slow
def test_a_video_that_changes_its_size_is_saved_in_one(tmp_path):
    options, files = outputs(tmp_path)
    sizes = (320, 240), (640, 480), (240, 320)
    parts_ = [video(tmp_path / f"{k}.ts", [frame({(20, 40): 100}, *size)] * 20) for k, size in enumerate(sizes)]
    (tmp_path / "all.ts").write_bytes(b"".join(part.read_bytes() for part in parts_))
    code, _, errors = ended(start("--source", tmp_path / "all.ts", *options))
    assert code == 0 and "60 frames" in errors
    check_files(files, 60)


@slow
@pytest.mark.parametrize("content", [b"", None])
def test_nothing_at_all_is_an_error(tmp_path, content):
    if content is None:
        os.mkfifo(tmp_path / "film.ts")
        threading.Thread(target=lambda: open(tmp_path / "film.ts", "wb").close(), daemon=True).start()
    else:
        (tmp_path / "film.ts").write_bytes(content)
    code, _, errors = ended(start("--source", tmp_path / "film.ts"), 15)
    assert code == 1 and "found nothing " in the_error(errors) and "expected a video" in errors


# ---- memory


def test_frames_cost_no_threads_and_none_waits_for_the_collector(film):
    code = """
import gc, sys, weakref
import psutil
from fer_lib.live import sources
gc.collect(); gc.disable()
threads = set()
for each in sources.frames(sys.argv[1]):
    threads.add(psutil.Process().num_threads())
left = [each for each in gc.get_objects() if type(each).__name__ in ("VideoFrame", "SideDataContainer")]
found = gc.collect()
print(max(threads) - min(threads), found < 100, len(left) < 5)
"""
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT)}
    done = subprocess.run([sys.executable, "-c", code, film], capture_output=True, text=True, env=environment)
    grown, *rest = done.stdout.split()
    assert int(grown) <= 1 and rest == ["True", "True"], done


@slow
def test_damage_without_end_is_counted_and_not_kept(tmp_path, film):
    content, place = bytearray(film.read_bytes()), 0
    for k in range(40):
        place = 20_000 + k * (len(content) - 40_000) // 40
        place += 60 - place % 188
        content[place : place + 60] = b"\xa5" * 60
    (tmp_path / "damaged.ts").write_bytes(content)
    code, printed, errors = ended(start("--source", tmp_path / "damaged.ts", "--json", "--per", "frame"))
    (warning,) = [line for line in errors.splitlines() if line.startswith("warning: ")]
    left_out = int(warning.split("found ")[1].split()[0])
    assert code == 0 and left_out > 5 and "first frame " in warning and "left out" in warning
    assert len(printed.splitlines()) + left_out == int(warning.split(" damaged of ")[1].split()[0])


def watcher() -> pipeline.Watcher:
    """One that finds a face at another place in each frame."""
    places = itertools.cycle([(12 * (k % 40), 12 * (k // 40), 10, 10) for k in range(800)])
    return pipeline.Watcher(lambda image, grey: np.array([next(places)]), Brightness())


def test_a_clock_that_stands_still_keeps_no_faces_for_ever():
    image, looking = frame({}, 500, 260), watcher()
    for _ in range(700):
        looking.look(image, 5.0)
    assert len(looking.tracks.tracks) <= pipeline.LOST + 2


def test_a_clock_that_goes_back_begins_anew():
    image, looking = frame({(0, 0): 30}, 900, 500), watcher()
    for moment in (1000.0, 1000.04, 1000.08, 0.0):
        looking.look(image, moment)
    assert [track.time for track in looking.tracks.tracks] == [0.0]
    for k in range(1, 100):
        looking.look(image, k / 25)
    assert len(looking.tracks.tracks) < 20
