"""Damaged files for every reader of this project. None may crash, hang, or raise anything but a documented error.

As a program, for so many minutes: ``make mutate``, or ``.venv/bin/python tests/mutations.py MINUTES [READER ...]``.
"""

import gzip
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from pathlib import Path

import cv2
import numpy as np

TOKENS = (
    b"", b"0", b"-1", b"1.5", b"0.0", b"256", b"99999999999999999999", b"1e999", b"nan", b"inf", b"null", b"true",
    b'""', b"[]", b"{}", b",", b";", b"\t", b"\n", b'"', b"'", b"\\", b"\x00", b"\xff", b"caf\xe9", b"\xef\xbb\xbf",
    b"../../x", b"? !!", b"&a *a", b": ", b"- ", b"%", b"\r", b"2001-99-99", b"1_000", b"0x10", b" ",
)  # fmt: skip
NAMES = r"b?'.*?'|b?\".*?\"|0x[0-9a-f]+|[0-9]+"
"""What differs between two errors of the same sort."""
SECONDS = 20
"""What takes a reader longer than this is a hang: the whole files here are read in a second."""


class Hang(BaseException):
    """Raised by the alarm; nobody catches it."""


# ---- damage


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Content with one to four faults; of archives, half the time inside a member, packed again with right sums."""
    if rng.random() < 0.5 and (inside := _inside(content, rng)) is not None:
        return inside
    for _ in range(rng.choice((1, 1, 2, 4))):
        content = rng.choice((_bits, _bytes, _cut, _token, _token, _line, _twice, _gone, _number))(content, rng)
    return content


def _place(content: bytes, rng: random.Random) -> int:
    """Anywhere, half the time near the start, where heads are."""
    return rng.randrange(max(1, min(len(content), 400 if rng.random() < 0.5 else len(content))))


def _bits(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content or b"\0")
    for _ in range(rng.choice((1, 3, 20))):
        changed[_place(changed, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _bytes(content: bytes, rng: random.Random) -> bytes:
    at, new = _place(content, rng), rng.choice((b"\xff" * 8, b"\0" * 8, b"\x7f" * 4, rng.randbytes(16)))
    return content[:at] + new + content[at + len(new) :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: _place(content, rng)]


def _token(content: bytes, rng: random.Random) -> bytes:
    """Another token in a word's or a number's place."""
    at = _place(content, rng)
    word = re.compile(rb"[\w.+-]+|[^\w\s]").search(content, at)
    if not word:
        return content + rng.choice(TOKENS)
    return content[: word.start()] + rng.choice(TOKENS) + content[word.end() :]


def _line(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines[: rng.randrange(len(lines))] + lines if rng.random() < 0.3 else lines)


def _twice(content: bytes, rng: random.Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + content[at : at + rng.randrange(1, 300)] * rng.choice((2, 50)) + content[at:]


def _gone(content: bytes, rng: random.Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + content[at + rng.randrange(1, 300) :]


def _number(content: bytes, rng: random.Random) -> bytes:
    """A length or an offset in binary, made enormous, zero or negative."""
    at, size = _place(content, rng), rng.choice((2, 4, 8))
    value = rng.choice((0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size) - 1, 2 ** (4 * size)))
    return content[:at] + value.to_bytes(size, rng.choice(("little", "big"))) + content[at + size :]


def _inside(content: bytes, rng: random.Random) -> bytes | None:
    """The same archive with a damaged member; None if this is no archive."""
    out = io.BytesIO()
    with suppress(zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, zlib.error, ValueError):
        if content[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
                victim = rng.choice(old.namelist())
                for name in old.namelist():
                    new.writestr(name, damaged(old.read(name), rng) if name == victim else old.read(name))
            return out.getvalue()
        if content[:2] == b"\x1f\x8b":
            return gzip.compress(damaged(gzip.decompress(content), rng), 1)
        if content[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(content)) as old, tarfile.open(fileobj=out, mode="w") as new:
                victim = rng.choice(old.getnames())
                for member in old:
                    inside = old.extractfile(member).read() if member.isfile() else b""
                    inside = damaged(inside, rng) if member.name == victim else inside
                    member.size = len(inside)
                    new.addfile(member, io.BytesIO(inside))
            return out.getvalue()
    return None


# ---- the readers: each writes whole files into a folder; gives those to damage, and what reads them

Prepared = tuple[list[Path], Callable[[], object]]


def fer2013(form: str):
    def prepare(folder: Path) -> Prepared:
        import made_up_fer2013 as made

        arrays = made.made_up()
        if form == "pictures":
            files = {
                **made.picture_files(*arrays, ".png"),
                **{f"x{name}": content for name, content in made.picture_files(*made.made_up(1), ".jpg").items()},
            }
            files = {name.replace("xtrain", "train").replace("xtest", "test"): files[name] for name in files}
            made.write_folder(folder / "faces", files)
            return [folder / "faces" / name for name in files], lambda: made.load(folder / "faces")
        path = folder / f"fer2013{form}"
        if form == ".npz":
            made.write_npz(path, *arrays)
        elif form == "-pictures.zip":
            made.write_zip(path, made.picture_files(*arrays))
        else:
            made.write(path, made.csv_text(*arrays))
        return [path], lambda: made.load(path)

    return prepare


def ferplus(folder: Path) -> Prepared:
    from fer_lib.data import ferplus

    lines = [",".join(("Usage", "Image name", *ferplus.COLUMNS))]
    lines += [
        f"{part},fer{k:07}.png,{k % 4},{10 - k % 4},0,0,0,0,0,0,0,0"
        for part in ("Training", "PublicTest")
        for k in range(9)
    ]
    (folder / "fer2013new.csv").write_text("\n".join(lines))
    return [folder / "fer2013new.csv"], lambda: ferplus.load(folder / "fer2013new.csv")


def affectnet(layout: str):
    def prepare(folder: Path) -> Prepared:
        from fer_lib.data import affectnet, drawn_affectnet

        tree = folder / "AffectNet"
        drawn_affectnet.write(tree, layout, 14, 7)
        files = [path for path in tree.rglob("*") if path.is_file()]
        lists = [path for path in files if path.suffix == ".csv"]
        return [*files, *lists * 9], lambda: affectnet.load(tree)

    return prepare


def predictions(form: str):
    def prepare(folder: Path) -> Prepared:
        import made_up_records as made

        from fer_lib.data.emotions import FER2013
        from fer_lib.evaluation import prediction_files

        faces = made.faces()
        rows = faces.rows("PublicTest")
        if form == "npz":
            path = made.network(folder, 0, lambda labels: made.answers(labels, 3))["folder"] / "predictions.npz"
        else:
            path = folder / "mine.csv"
            lines = [f"{row},{FER2013[label]}" for row, label in zip(faces.ids[rows], faces.labels[rows])]
            head = "row,emotion"
            if form == "probabilities":
                head = f"row,{','.join(FER2013)}"
                lines = [f"{row},0.1,0.1,0.1,0.1,0.1,0.1,0.4" for row in faces.ids[rows]]
            path.write_text("\n".join([head, *lines]))
        return [path], lambda: prediction_files.read(str(path), faces)

    return prepare


def record(folder: Path) -> Prepared:
    import made_up_records as made

    from fer_lib.evaluation import records

    place = made.network(folder, 0, lambda labels: made.answers(labels, 3))["folder"]

    def read():
        whole = records.read(place)
        records.check(whole)
        records.predictions(whole)

    return [place / "metrics.json"], read


def archive(folder: Path) -> Prepared:
    import made_up_records as made

    from fer_lib import paths, runs
    from fer_lib.runs import transport

    name = "saravanan2019/table1_feedforward"
    paths.RESULTS = folder / "there"
    run = runs.run(name, 1, "full", "tensorflow")
    made.network(paths.RESULTS, 1, lambda labels: made.answers(labels, 3), parameters=run.parameters)
    with redirect_stdout(io.StringIO()):
        transport.export_records(folder / "records.tar")
    paths.RESULTS = folder / "here"

    def read():
        with redirect_stdout(io.StringIO()):
            transport.import_records(folder / "records.tar")
        shutil.rmtree(paths.RESULTS, ignore_errors=True)

    return [folder / "records.tar"], read


def ledger(folder: Path) -> Prepared:
    from fer_lib import paths, runs
    from fer_lib.claims import ledger

    known = runs.experiments()
    (folder / "claims").mkdir()
    for name in ("schema.json", "vorontsov2018.yaml"):  # the other paper's are three times as long to read
        shutil.copy(paths.CLAIMS / name, folder / "claims")
    return [folder / "claims" / "vorontsov2018.yaml"], lambda: ledger.read(folder / "claims", known)


def history(folder: Path) -> Prepared:
    from fer_lib import paths
    from fer_lib.claims import ledger

    shutil.copytree(paths.CLAIMS, folder / "claims")

    def read():
        ledger.changes(folder / "claims")
        ledger.moves(folder / "claims")

    return [path for path in (folder / "claims" / "history").iterdir() if path.is_file()], read


def experiment(folder: Path) -> Prepared:
    from fer_lib import paths, runs

    some = ("saravanan2019/table1_feedforward", "ours/live_conditions", "vorontsov2018/table1_googlenet")
    some = [name for name in some if (paths.EXPERIMENTS / f"{name}.yaml").exists()]
    for name in some:
        (folder / "experiments" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.EXPERIMENTS / f"{name}.yaml", folder / "experiments" / f"{name}.yaml")
    paths.EXPERIMENTS = folder / "experiments"

    def read():
        for name in runs.experiments():
            runs.run(name, 0, "full", "tensorflow")

    return sorted((folder / "experiments").glob("*/*.yaml")), read


def weights(ending: str):
    def prepare(folder: Path) -> Prepared:
        import h5py
        import made_up_weights as made

        from fer_lib.models import weight_files

        weight_files.LONGEST = 10  # seconds, less than ours: these files are small
        path, rng = folder / f"weights{ending}", np.random.default_rng(0)
        if ending == ".h5":
            with h5py.File(path, "w") as file:
                file.attrs["layer_names"] = [b"block1", b"predictions"]
                for name in ("block1", "predictions"):
                    group = file.create_group(name)
                    group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
                    group[f"{name}/kernel:0"], group[f"{name}/bias:0"] = rng.random((3, 4)), rng.random(4)
        elif ending == ".mat":
            layers = {
                "conv1_1": [rng.random((3, 3, 3, 4)), rng.random(4)],
                "fc8": [rng.random((1, 1, 4, 5)), rng.random(5)],
            }
            made.matconvnet(path, layers, "vgg-face")
        elif ending == ".caffemodel":
            shapes = {"fc6": (2, 256), "fc7": (2, 2), "fc8": (2, 2)}
            shapes = {**{f"conv{k}": (2, 3, 3, 3) for k in range(1, 6)}, **shapes}
            layers = {layer: [rng.random(shape), rng.random(2)] for layer, shape in shapes.items()}
            made.caffemodel(path, layers, old=True)
        else:
            tensors = {"fc.weight": rng.random((3, 4), np.float32), "fc.bias": rng.random(3, np.float32)}
            made.torch_file(path, tensors, old=ending == ".old.pth")
        return [path], lambda: weight_files.read(path)

    return prepare


def keras_file(folder: Path) -> Prepared:
    import made_up_network

    from fer_lib.evaluation import crossdata

    made_up_network.network().save(folder / "network.keras")
    return [folder / "network.keras"], lambda: crossdata._model(folder / "network.keras", "fer2013")


def checkpoint(folder: Path) -> Prepared:
    import keras

    from fer_lib.training import checkpoints

    def compiled():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
        model.compile("sgd", "mse")
        return model

    model, identity = compiled(), {"protocol": {}, "seed": 0}
    model.optimizer.build(model.trainable_variables)
    from dataclasses import asdict

    from fer_lib.training.protocol import Protocol

    identity = {"protocol": asdict(Protocol()), "seed": 0}
    logits = {"best": np.zeros((3, 7), np.float32)}
    checkpoints.save(folder / "run", model, logits, {"history": [{}], "identity": identity})

    def read():
        with redirect_stdout(io.StringIO()):
            checkpoints.restore(folder / "run", compiled(), identity, lambda epoch: None)

    return [path for path in (folder / "run").rglob("*") if path.is_file()], read


def cache(folder: Path) -> Prepared:
    from fer_lib import data

    rows = np.zeros((5, 48, 48), np.uint8), np.zeros(5, np.uint8), np.zeros(5, np.uint8)
    data.keep_arrays(folder / "kept", rows, {})
    return sorted((folder / "kept").iterdir()), lambda: data.kept_arrays(folder / "kept")


def shown() -> np.ndarray:
    """(60, 80, 3) uint8: something to see."""
    return cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8), (80, 60))


def picture(ending: str):
    def prepare(folder: Path) -> Prepared:
        from fer_lib.live import sources

        path = folder / f"picture{ending}"
        if ending == ".gif":
            from PIL import Image

            images = [Image.fromarray(shown()[:, ::step]).resize((80, 60)) for step in (1, -1)]
            images[0].save(path, save_all=True, append_images=images[1:], duration=40)
        else:
            path.write_bytes(cv2.imencode(ending, shown())[1].tobytes())
        return [path], lambda: list(sources.frames(path))

    return prepare


def video(ending: str):
    def prepare(folder: Path) -> Prepared:
        import live_frames

        from fer_lib.live import sources

        path = live_frames.video(folder / f"video{ending}", [shown()[:, ::step] for step in (1, -1) * 5])
        return [path], lambda: list(sources.frames(path))

    return prepare


def live_model(ending: str):
    def prepare(folder: Path) -> Prepared:
        from fer_lib.live import inference

        path = folder / f"model{ending}"
        shutil.copy(inference.MODEL.with_suffix(ending), path)
        faces = np.zeros((2, 48, 48), np.uint8)
        return [path], lambda: inference.load(path).classify(faces)

    return prepare


READERS: dict[str, Callable[[Path], Prepared]] = {
    **{f"fer2013{form}": fer2013(form) for form in (".csv", ".csv.gz", ".csv.xz", ".zip", ".tar.gz", ".tar", ".npz")},
    "fer2013-pictures.zip": fer2013("-pictures.zip"),
    "fer2013 pictures": fer2013("pictures"),
    "ferplus": ferplus,
    "affectnet older": affectnet("older"),
    "affectnet newer": affectnet("newer"),
    **{f"predictions {form}": predictions(form) for form in ("emotions", "probabilities", "npz")},
    "record": record,
    "archive of records": archive,
    "claims": ledger,
    "history of claims": history,
    "experiments": experiment,
    "cache": cache,
    **{f"picture{ending}": picture(ending) for ending in (".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm", ".gif")},
    **{f"video{ending}": video(ending) for ending in (".mp4", ".mkv", ".ts", ".avi")},
    "live model.onnx": live_model(".onnx"),
    **{f"weights{ending}": weights(ending) for ending in (".h5", ".mat", ".caffemodel", ".pth", ".old.pth")},
    "keras": keras_file,
    "checkpoint": checkpoint,
}
SLOW = ("keras", "checkpoint", "live model.onnx", *(name for name in READERS if name.startswith("weights")))
"""Those that import or compute for seconds before the first file."""

NEVER_WHOLE = ("weights.caffemodel",)
"""CaffeNet's dense layers have 240 MB. These files have small ones in their place, and are refused once parsed."""


# ---- the trial


def trial(name: str, folder: Path, seed: int, count: int | None = None, seconds: float = 1e9) -> dict:
    """Damage a reader's files ``count`` times, or for so many seconds, and read each. Nothing is raised.

    Returns read and refused (how many), wrong (what was raised that should not be, one line each, each only once), and
    slowest in seconds. A wrong file is kept beside the folder.
    """
    from fer_lib import paths

    kept = {key: getattr(paths, key) for key in ("CACHE", "RESULTS", "EXPERIMENTS")}
    paths.CACHE = folder / "cache"
    rng, result = random.Random(f"{name} {seed}"), {"read": 0, "refused": 0, "wrong": {}, "slowest": 0.0}
    before = signal.signal(signal.SIGALRM, _ring)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (folder / "files").mkdir(parents=True)
            files, read = READERS[name](folder / "files")
            whole = {path: path.read_bytes() for path in files}
            if name not in NEVER_WHOLE:
                read()
            end = time.monotonic() + seconds
            while time.monotonic() < end and (count is None or result["read"] + result["refused"] < count):
                _one(rng, whole, files, read, result, folder)
    finally:
        signal.signal(signal.SIGALRM, before)
        for key, value in kept.items():
            setattr(paths, key, value)
    return result


def _one(rng, whole: dict[Path, bytes], files: list[Path], read, result: dict, folder: Path) -> None:
    path = rng.choice(files)
    bad = damaged(whole[path], rng)
    path.write_bytes(bad)
    started, problem = time.monotonic(), None
    signal.alarm(SECONDS)
    try:
        read()
        result["read"] += 1
    except Exception as error:
        result["refused"] += 1
        problem = _wrong(error, (path.stem, path.parent.name))
    except Hang:
        result["refused"] += 1
        problem = f"no end after {SECONDS} s"
    finally:
        signal.alarm(0)
    result["slowest"] = max(result["slowest"], time.monotonic() - started)
    path.write_bytes(whole[path])
    if problem and problem not in result["wrong"]:
        keep = folder / f"wrong-{len(result['wrong'])}{path.suffix}"
        keep.write_bytes(bad)
        result["wrong"][problem] = str(keep)
    shutil.rmtree(folder / "cache", ignore_errors=True)


def _ring(*_) -> None:
    raise Hang


def _wrong(error: Exception, names: tuple[str, ...]) -> str | None:
    """What is wrong with an error: its type, for a subclass of ValueError is some parser's own; or that it
    names neither the file nor its folder, or says nothing to do."""
    text = str(error)
    sort = f"{type(error).__name__}: {re.sub(NAMES, '#', text)[:160]}"
    if not (type(error) in (ValueError, TypeError) or isinstance(error, OSError)):
        return sort
    told = any(name in text for name in names) and ("; " in text or isinstance(error, OSError) and error.filename)
    return None if told else f"not in the usual form: {sort}"


def main(minutes: float, names: list[str]) -> int:
    """Try these readers, or all, each in a process of its own, and print a line for each. Returns 1 if one is wrong."""
    names, wrong = names or list(READERS), 0
    share = 60 * minutes / len(names)
    print(f"{'reader':<24} {'read':>7} {'refused':>8} {'slowest':>8}")
    for name in names:
        folder = Path(tempfile.mkdtemp(prefix="mutations-"))
        command = [sys.executable, "-X", "faulthandler", __file__, "--one", name, str(share), str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=share + 90, errors="replace")
            lines, told = done.stdout.strip().splitlines(), done.stderr[-1500:]
        except subprocess.TimeoutExpired:
            lines, told = [], "no end, and no alarm was heard"
        if not lines or not lines[-1].startswith("{"):
            print(f"{name:<24} CRASHED; its files are in {folder}\n{told}", flush=True)
            wrong += 1
            continue
        result = json.loads(lines[-1])
        print(f"{name:<24} {result['read']:>7,} {result['refused']:>8,} {result['slowest']:>7.2f}s", flush=True)
        for problem, kept in result["wrong"].items():
            print(f"    {problem}\n        {kept}", flush=True)
        wrong += bool(result["wrong"])
        if not result["wrong"]:
            shutil.rmtree(folder)
    print(f"{wrong} of {len(names)} readers raised something else than the documented errors.")
    return bool(wrong)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if sys.argv[1:2] == ["--one"]:
        _, _, name, seconds, folder = sys.argv
        limit = 16 << 30  # bytes: who reads a number too large gets no memory, not the whole machine's
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        print(json.dumps(trial(name, Path(folder), seed=time.time_ns(), seconds=float(seconds))))
    else:
        sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
