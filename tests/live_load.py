"""Hours of video through ``fer live`` as fast as it goes, with all outputs at once: ``make test-live``.

A stream of scenes is made on the way and sent over HTTP: faces of one portrait and drawn ones, none to five at a time,
that come, go, move and tilt, cuts between scenes, empty stretches, frames of several sizes, and damaged frames. Each
frame that was sent must be in every output, or reported as left out, and the process must not grow. ``--keep`` writes
what happened into docs/live.md.
"""

import argparse
import csv
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from contextlib import suppress
from itertools import chain
from pathlib import Path

import av
import cv2
import numpy as np
import psutil
import skimage.data

from fer_lib import paths
from fer_lib.data import drawn_faces
from fer_lib.data.emotions import FER2013
from fer_lib.report import parts

PAGE = paths.ROOT / "docs" / "live.md"
RATE = 25
"""Frames in a second of video."""
SCENES, SECONDS = 24, (4, 12)
"""How many scenes are made, and how long the shortest and the longest are; they are sent in random order."""
SIZES = ((320, 240), (426, 240), (240, 320), (384, 288))
DAMAGED = 0.05
"""The share of scenes that are sent with a damaged frame."""
ROOM, GROWTH = 16.0, 6.0
"""Megabytes that the process's memory may grow by: once, as the summary's points and what libraries keep fill, and with
each hour of video, in which a thousand faces come, and each has a line in the summary."""
WARM = 0.1
"""The part of the trial after which memory has to be flat."""
EACH = 1.0
"""Seconds between two looks at the process."""


def portraits() -> list[np.ndarray]:
    """Square faces, blue first: the astronaut's and drawn ones, some of the same person with another expression."""
    astronaut = skimage.data.astronaut()[:240, 104:344, ::-1]
    drawn = [drawn_faces.draw(FER2013[code], np.random.default_rng(code % 3), 160) for code in range(7)]
    return [astronaut, astronaut[:, ::-1], *(cv2.cvtColor(each, cv2.COLOR_GRAY2BGR) for each in drawn)]


def frames(faces: list[np.ndarray], random: np.random.Generator) -> list[np.ndarray]:
    """A scene: faces that move, turn, come and go in front of a blurred ground. Some scenes have none."""
    width, height = SIZES[random.integers(len(SIZES))]
    ground = cv2.resize(random.integers(60, 180, (6, 8, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    count = round(RATE * random.uniform(*SECONDS))
    paths_ = []
    for _ in range(random.choice([0, 1, 1, 1, 2, 3, 5])):
        begin, end = np.sort(random.integers(-count // 2, count + count // 2, 2))
        places = random.uniform((0, 0), (width, height), (2, 2))
        turns = random.uniform(-50, 50, 2)
        side = random.uniform(0.2, 0.5) * min(width, height)
        paths_.append((faces[random.integers(len(faces))], begin, max(end, begin + RATE), places, turns, side))
    made = []
    for k in range(count):
        image = ground.copy()
        for face, begin, end, places, turns, side in paths_:
            if begin <= k < end:
                done = (k - begin) / (end - begin)
                x, y = places[0] + done * (places[1] - places[0])
                matrix = cv2.getRotationMatrix2D((face.shape[1] / 2,) * 2, turns @ (1 - done, done), side / len(face))
                matrix[:, 2] += (x - face.shape[1] / 2, y - face.shape[0] / 2)
                where = {"dst": image, "borderMode": cv2.BORDER_TRANSPARENT}
                cv2.warpAffine(face, matrix, (width, height), flags=cv2.INTER_LINEAR, **where)
        made.append(image)
    return made


def encoded(images: list[np.ndarray]) -> tuple[bytes, bytes]:
    """A scene as MPEG-TS, whole and with a damaged frame in its middle."""
    out, packets = io.BytesIO(), []
    with av.open(out, "w", format="mpegts") as film:
        stream = film.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "g": "50", "bf": "0"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in [*images, None]:
            for packet in stream.encode(None if image is None else av.VideoFrame.from_ndarray(image, "bgr24")):
                packets.append(bytes(packet))
                film.mux(packet)
    whole = out.getvalue()
    damaged = bytearray(whole)
    largest = max(packets[len(packets) // 4 : -len(packets) // 4], key=lambda each: len(each) < 3000 and len(each))
    place = whole.find(largest[60:80])
    if place > 0:
        damaged[place : place + 20] = b"\xa5" * 20
    return whole, bytes(damaged)


class Sender:
    """Sends scenes over HTTP until so many frames were sent. ``sent``: how many; ``told`` is set when all are."""

    def __init__(self, wanted: int):
        random = np.random.default_rng(0)
        faces = portraits()
        made = [frames(faces, random) for _ in range(SCENES)]
        self.scenes = [(len(images), *encoded(images)) for images in made]
        self.wanted, self.sent, self.damaged, self.random = wanted, 0, 0, random
        sender = self

        class Answer(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.send_header("Transfer-Encoding", "chunked")  # else FFmpeg takes the end for a sender that has gone
                self.end_headers()
                with suppress(ConnectionError):
                    for content in chain(sender.contents(), [b""]):
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}/stream.ts"

    def contents(self):
        while self.sent < self.wanted:
            count, whole, damaged = self.scenes[self.random.integers(SCENES)]
            bad = self.random.random() < DAMAGED
            self.sent, self.damaged = self.sent + count, self.damaged + bad
            yield damaged if bad else whole


class Lines(threading.Thread):
    """Reads the lines of ``--json --per frame``: how many there were, how many faces they had, and each number."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream, self.count, self.faces, self.last, self.tracks, self.time = stream, 0, 0, -1, 0, 0.0
        self.wrong = ""

    def run(self) -> None:
        for line in self.stream:
            try:
                about = json.loads(line)
            except ValueError:
                self.wrong = self.wrong or f"a line that is no JSON: {line[:200]!r}"
                continue
            if about["frame"] <= self.last or about["time"] < self.time:
                self.wrong = self.wrong or f"frame {about['frame']} at {about['time']} s after frame {self.last}"
            self.count, self.last, self.time = self.count + 1, about["frame"], about["time"]
            self.faces += len(about["faces"])
            self.tracks = max([self.tracks, *(face["track"] for face in about["faces"])])


def check(holds: bool, what: str) -> None:
    if not holds:
        raise RuntimeError(what)


def trial(minutes: float, folder: Path) -> dict:
    """Send so many minutes of video, and see that all is well; what happened, in numbers.

    Raises RuntimeError for what is not.
    """
    print("making the scenes", flush=True)
    sender = Sender(round(60 * RATE * minutes))
    film, table, summary = folder / "o.mkv", folder / "o.csv", folder / "all.csv"
    command = [sys.executable, "-m", "fer_lib", "live", "--source", sender.address, "--json", "--per", "frame"]
    command += ["--save", str(film), "--csv", str(table), "--summary", str(summary)]
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT)}
    started = time.monotonic()
    with open(folder / "errors.txt", "w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
    lines, seen = Lines(process.stdout), []
    lines.start()
    looked, told = psutil.Process(process.pid), started
    try:
        while process.poll() is None:
            if lines.count:
                with suppress(psutil.Error):  # it has just ended
                    memory = looked.memory_full_info().uss / 2**20
                    seen.append((lines.count, memory, looked.num_threads(), looked.num_fds()))
            if time.monotonic() > told + 60:
                told = time.monotonic()
                done, rate = lines.count / sender.wanted, lines.count / (told - started)
                print(f"{done:4.0%}, {rate:.0f} frames/s, {seen[-1][1]:.0f} MB, {lines.tracks} faces", flush=True)
            time.sleep(EACH)
    finally:
        process.kill()
        process.wait()
    lines.join(60)
    seconds, said = time.monotonic() - started, (folder / "errors.txt").read_text()
    check(process.returncode == 0, f"it ended with {process.returncode}, expected 0: {said}")
    check(not lines.wrong, lines.wrong)
    found = re.search(r"found (\d+) damaged of (\d+) frames", said)
    left_out = int(found[1]) if found else 0
    total = f"{sender.sent} frames were sent, {lines.count} are in the lines and {left_out} are reported as left out"
    lost = sender.sent - lines.count - left_out  # damage may swallow the frame beside it before FFmpeg gives any
    check(0 <= lost <= sender.damaged / 10, f"{total}: {said}")
    check(bool(left_out) == bool(sender.damaged), f"{left_out} frames are left out, {sender.damaged} were damaged")
    check(f"{lines.count} frames, {lines.faces} faces" in said, f"other numbers at the end: {said}")
    check(said.count("\n") == 1 + bool(found), f"more than a warning and the numbers: {said}")
    with open(table, newline="") as file:
        numbers, faces = set(), 0
        for row in csv.DictReader(file):
            check(None not in row and None not in row.values(), f"a line of the table that is not whole: {row}")
            numbers.add(int(row["frame"]))
            faces += row["track"] != ""
    check((len(numbers), faces) == (lines.count, lines.faces), f"{len(numbers)} frames, {faces} faces in the table")
    with av.open(str(film)) as played:
        packets = sum(packet.size > 0 for packet in played.demux(video=0))
    check(packets == lines.count, f"{packets} frames in the video, expected {lines.count}")
    with open(summary, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["track"]]
    check(sum(int(row["frames"]) for row in rows) == lines.faces, "other faces in the summary than in the lines")
    check(len(rows) == lines.tracks, f"{len(rows)} faces in the summary, {lines.tracks} numbers in the lines")
    at, memory, threads, files = np.array(seen).T
    warm = at > WARM * lines.count
    check(warm.sum() > 10, "too short to judge its memory; name more minutes")
    slope = np.polyfit(at[warm] / RATE / 3600, memory[warm], 1)[0]
    facts = {
        "frames": lines.count, "left_out": left_out, "lost": lost, "hours": sender.sent / RATE / 3600,
        "seconds": seconds, "faces": len(rows), "first": memory[0], "warm": memory[warm][0],
        "last": memory[-1], "most": memory.max(),
        "slope": slope, "film": film.stat().st_size / 2**20,
        "threads": sorted(set(threads[warm].tolist())), "files": sorted(set(files[warm].tolist())),
    }  # fmt: skip
    print(facts, flush=True)
    begin, end = (np.median(part) for part in np.array_split(memory[warm], 5)[::4])
    most = ROOM + GROWTH * facts["hours"]
    check(end - begin <= most, f"memory grows from {begin:.0f} to {end:.0f} MB, expected {most:.0f} MB more at most")
    check(len(facts["threads"]) == len(facts["files"]) == 1, f"threads or open files come and go: {facts}")
    return facts


def in_words(facts: dict) -> str:
    """The summary, in Markdown."""
    told = (
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {os.cpu_count()} cores shared with other work: "
        f"{facts['hours']:.1f} hours of video, {facts['frames']:,} frames, in {facts['seconds'] / 60:.0f} minutes "
        f"({facts['frames'] / facts['seconds']:.0f} frames a second), with `--save`, `--csv`, `--summary` and "
        f"`--json`. {facts['left_out']} damaged frames were left out and reported, {facts['lost']} beside them were "
        "lost with them; every other is in each output. "
        f"{facts['faces']:,} faces came and went. The process had {facts['first']:.0f} MB at its first frame, "
        f"{facts['warm']:.0f} MB after a tenth and {facts['last']:.0f} MB at the end"
    )
    if facts["hours"] >= 1:  # in less, what fills once would be taken for growth
        told += f": from then on {facts['slope']:+.1f} MB for each hour of video"
    told += f". It had {facts['threads'][0]:.0f} threads and {facts['files'][0]:.0f} open files all the time."
    return textwrap.fill(told, 120, break_on_hyphens=False) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="live_load.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("minutes", type=float, nargs="?", default=120, help="of video (default: 120)")
    parser.add_argument("--keep", action="store_true", help="write the summary into docs/live.md, to commit")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fer-live-"))
    try:
        facts = trial(options.minutes, folder)
    except RuntimeError as error:
        print(f"FAILED: {error}\nAll that was written: {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    summary = in_words(facts)
    print(summary)
    if options.keep:
        parts.put(PAGE, "make test-live", summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
