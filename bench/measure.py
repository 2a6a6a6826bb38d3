"""What the bench measures: loading FER2013, training the proposed CNN, starting the study.

Every figure is the median of several runs, with the smallest and the largest. What is compared is measured in turns, so
that a noisy machine affects both, and ratios are taken within each turn. Every load and every start is a separate
process. Imports are not counted for a load, but for a start.
"""

from __future__ import annotations

import csv
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_lib import data, paths
from fer_lib.data import SPLITS, Faces, array_hash, fer2013
from fer_lib.models import architectures
from fer_lib.training.protocol import AS_PUBLISHED, Protocol

ROWS = 35_887  # of FER2013
PROPOSED_CNN = Protocol(
    model="proposed_cnn", optimizer="adam", learning_rate=1e-4, decay=1e-5, batch_size=128, **AS_PUBLISHED
)


def say(text: str) -> None:
    print(text, flush=True)


def spread(values: list[float]) -> dict:
    """Median, smallest and largest of some figures, and their number; four significant digits."""
    low, middle, high = (float(f"{value:.4g}") for value in (min(values), np.median(values), max(values)))
    return {"median": middle, "min": low, "max": high, "n": len(values)}


def apart(function, *arguments):
    """The result of a function called in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


# ---- loading: each reader takes a path and gives (images (n, 48, 48) uint8, labels (n,) uint8)


def ours(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """``fer2013.load``: checksum, parsing, checks, and writing the cache; or, if there is a cache, opening it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warning that drawn faces are not the official data
        faces = fer2013.load(path)
    return faces.images, faces.labels


def ours_read_through(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The same with every pixel copied: the time that a memory map saves in ``load`` and costs the reader later."""
    images, labels = ours(path)
    return np.array(images), labels


def as_torchvision(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The rows as torchvision.datasets.FER2013 reads them, without its checksum and with arrays instead of tensors."""
    with open(path, newline="") as file:
        samples = [
            (np.array([int(pixel) for pixel in row["pixels"].split()], np.uint8).reshape(48, 48), int(row["emotion"]))
            for row in csv.DictReader(file)
        ]
    return np.stack([image for image, _ in samples]), np.array([label for _, label in samples], np.uint8)


def with_pandas(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The usual lines of FER2013 notebooks: read_csv, then one string of numbers after another. No checks."""
    import pandas

    rows = pandas.read_csv(path)
    images = [np.fromstring(pixels, np.uint8, sep=" ").reshape(48, 48) for pixels in rows["pixels"]]
    return np.stack(images), rows["emotion"].to_numpy(np.uint8)


def load_seconds(reader, path: Path) -> tuple[float, str]:
    """How long a reader takes, and the hash of what it read. pandas is imported before the clock starts."""
    import pandas  # noqa: F401

    started = time.perf_counter()
    images, labels = reader(path)
    return time.perf_counter() - started, array_hash(images, labels, np.empty(0, np.uint8))


def write_csv(faces: Faces, path: Path, rows: int) -> None:
    """``rows`` faces in the form of fer2013.csv, starting again from the first at the end."""
    with open(path, "w", newline="") as file:
        file.write("emotion,pixels,Usage\n")
        for row in np.arange(rows) % len(faces):
            pixels = " ".join(map(str, faces.images[row].ravel().tolist()))
            file.write(f"{faces.labels[row]},{pixels},{SPLITS[faces.split[row]]}\n")


def csv_to_read(scratch: Path) -> tuple[Path, dict]:
    """A plain CSV of FER2013's size, and its description: ``data`` as text, ``rows``, ``megabytes``."""
    found = fer2013.find()
    faces = fer2013.load(found) if found else None
    if faces and faces.source["official"]:
        plain = found.suffix.lower() == ".csv" and faces.source["kaggle_file"] == "fer2013.csv"
        what = "the official fer2013.csv" if plain else f"fer2013.csv written from {found.name}"
    else:
        plain, faces = False, data.load_faces("drawn_faces")
        what = "drawn faces repeated to FER2013's number of rows, for want of the official data"
    path = found if plain else scratch / "fer2013.csv"
    if not plain:
        write_csv(faces, path, ROWS)
    return path, {"data": what, "rows": ROWS, "megabytes": round(path.stat().st_size / 1e6)}


def loading(path: Path, cache: Path, turns: int = 5) -> dict:
    """Seconds of each reader. ``cache`` is emptied before each first load; the environment's FER_CACHE must name it.

    Raises RuntimeError if the readers differ in what they read.
    """
    path.read_bytes()  # so that the first reader finds the file in memory, as the others do
    seconds = {"torchvision": [], "pandas": [], "first": [], "cached": [], "cached_read": []}
    readers = as_torchvision, with_pandas, ours, ours, ours_read_through
    hashes = set()
    for turn in range(turns):
        shutil.rmtree(cache, ignore_errors=True)
        for name, reader in zip(seconds, readers, strict=True):
            took, digest = apart(load_seconds, reader, path)
            seconds[name].append(took)
            hashes.add(digest)
        say(f"loading {turn + 1}/{turns}: " + ", ".join(f"{name} {each[-1]:.3g} s" for name, each in seconds.items()))
    if len(hashes) > 1:
        raise RuntimeError(f"{path}: the readers differ in the pixels or labels they read; expected one result")
    ratio = [one / other for one, other in zip(seconds["torchvision"], seconds["first"], strict=True)]
    return {f"{name}_s": spread(each) for name, each in seconds.items()} | {"times_torchvision": spread(ratio)}


# ---- training


def has_bfloat16(device: dict) -> bool:
    """Whether the device multiplies bfloat16 in units of its own: any GPU, or a CPU that says so."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return device["kind"] == "gpu" or "avx512_bf16" in flags or "amx_bf16" in flags


def timed(function, *arguments) -> np.ndarray:
    """How long a call takes: seconds by the clock, and seconds of this process on all processors."""
    started = time.perf_counter(), time.process_time()
    function(*arguments)
    return np.array([time.perf_counter() - started[0], time.process_time() - started[1]])


def multiply(square, count: int) -> None:
    """``count`` products of a matrix with itself."""
    from keras import ops

    for _ in range(count):
        product = ops.matmul(square, square)
    ops.convert_to_numpy(ops.cast(product[0, 0], "float32"))  # waits for the device; NumPy takes no bfloat16 scalar


def trainer(protocol: Protocol, faces: Faces):
    """A protocol's network, compiled as ``fer_lib.training.loop`` does, and a function from an order of rows and a
    number, which seeds what an epoch draws, that trains it on these rows."""
    import keras

    from fer_lib import models
    from fer_lib.training import backends, batches, loop, losses, optimizers

    backends.make_deterministic(0)
    keras.config.set_dtype_policy("mixed_bfloat16" if protocol.precision == "bfloat16" else "float32")
    model = models.build(protocol.model)
    model.compile(
        optimizers.make_optimizer(protocol),
        losses.loss_function(protocol.loss),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=backends.BACKEND == "jax",
    )
    train_epoch = loop.epoch_trainer(model, faces, batches.scaler(faces.images, protocol.input_scale), protocol)

    def train(order: np.ndarray, number: int) -> None:
        train_epoch(number, order, batches.epoch_targets(faces, protocol, 0, number))

    return model, train


def training_rate(protocol: Protocol, faces: Faces, turns: int = 15, sizes=(1024, 2048, 4096), seconds=4.0) -> dict:
    """Training beside the product of square matrices of the same precision, by the same engine and threads.

    The network trains as in ``fer_lib.training.loop``, for ``seconds`` in each turn or one batch, starting again from
    the first face at the end. The size of the matrices is the fastest of ``sizes``; they are multiplied before and
    after each turn's training, for a tenth of ``seconds`` each.

    On a busy machine the share by wall-clock time depends on the other work. The share by processor time, given for a
    CPU, does not, but it also leaves out the time in which a thread is idle.
    """
    from keras import ops

    from fer_lib.training import backends

    model, train_rows = trainer(protocol, faces)

    def train(count: int, turn: int) -> None:
        train_rows(np.random.default_rng(turn).permutation(count * protocol.batch_size) % len(faces), turn)

    def fastest(function, *arguments) -> float:
        return min(timed(function, *arguments)[0] for _ in range(4))

    squares = {n: ops.cast(np.random.default_rng(0).normal(size=(n, n)), protocol.precision) for n in sizes}
    size = max(sizes, key=lambda n: n**3 / fastest(multiply, squares[n], 1))
    products = math.ceil(seconds / 10 / fastest(multiply, squares[size], 1))
    train(1, 0)
    count = min(225, math.ceil(seconds / fastest(train, 1, 0)))  # an epoch has 225
    train(count, 0)  # JAX compiles once for each number of batches

    device, images = backends.device(), count * protocol.batch_size
    gflop = architectures.training_flop(architectures.layers(model)) / 1e9, 2 * size**3 / 1e9
    rates = {
        "images_per_s": [],
        "gflop_per_s": [],
        "matmul_gflop_per_s": [],
        "share": [],
        "share_by_processor_time": [],
    }
    for turn in range(turns):
        multiplied = timed(multiply, squares[size], products)
        trained = timed(train, count, turn)
        multiplied += timed(multiply, squares[size], products)
        rate, ceiling = images * gflop[0] / trained, 2 * products * gflop[1] / multiplied
        share = rate / ceiling
        for values, value in zip(rates.values(), (images / trained[0], rate[0], ceiling[0], *share), strict=True):
            values.append(value)
        say(
            f"training in {protocol.precision} {turn + 1}/{turns}: {images / trained[0]:.3g} images/s, "
            f"{rate[0]:.0f} of {ceiling[0]:.0f} GFLOP/s: {share[0]:.0%}, {share[1]:.0%} by processor time"
        )
    if device["kind"] == "gpu":  # the processor only hands work over
        del rates["share_by_processor_time"]
    facts = {"backend": backends.BACKEND, "device": device, "batches_a_turn": count, "matmul_size": size}
    return facts | {"gflop_an_image": gflop[0]} | {name: spread(values) for name, values in rates.items()}


def training_rates() -> dict[str, dict]:
    """``training_rate`` of the proposed CNN on drawn faces by precision; bfloat16 only if there are units for it."""
    from fer_lib.training import backends

    faces, device = data.load_faces("drawn_faces"), backends.device()
    sizes = (1024, 2048, 4096, 8192) if device["kind"] == "gpu" else (1024, 2048, 4096)
    wanted = ["float32"] + ["bfloat16"] * has_bfloat16(device)
    return {name: training_rate(replace(PROPOSED_CNN, precision=name), faces, sizes=sizes) for name in wanted}


# ---- starting


def command_seconds(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, str]:
    """How long a command takes, and what it prints. Raises RuntimeError with the output if it fails."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    took = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: found exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return took, done.stdout


def starting(scratch: Path, turns: int = 7) -> dict:
    """Seconds of ``python -m fer_lib --help``, and of ``make reproduce`` when a smoke run and its report exist.

    They are made first, in a copy of the project: a checkout's own results may lack runs and take hours to complete.
    """
    copy = scratch / "project"

    def left_out(folder: str, names: list[str]) -> set[str]:
        own = ["data", "results"] if Path(folder) == paths.ROOT else []  # not fer_lib/data
        return shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", *own)(folder, names)

    shutil.copytree(paths.ROOT, copy, ignore=left_out)
    # The copy's .venv is this Python under a name that make expects, with stamps newer than the locks.
    python = copy / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    for lock in copy.glob("requirements*.lock"):
        (copy / ".venv" / f".installed-{lock.name}").touch()
    foreign = ("FER2013", "LOCK", "FORCE", "SEEDS", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    environment |= {"PYTHONPATH": str(copy), "FER_CACHE": str(scratch / "smoke-cache")}
    reproduce = ["make", "reproduce", "PROFILE=smoke", "ONLY=table1_decision_tree"]
    help_ = [sys.executable, "-m", "fer_lib", "--help"]

    say("starting: making a smoke run and its report, about a minute")
    command_seconds(reproduce, copy, environment)
    command_seconds(help_, copy, environment)
    seconds = {"reproduce_s": [], "help_s": []}
    for turn in range(turns):
        took, printed = command_seconds(reproduce, copy, environment)
        if "nothing to do" not in printed:
            raise RuntimeError(f"{' '.join(reproduce)}: expected 'nothing to do', found:\n{printed}")
        seconds["reproduce_s"].append(took)
        seconds["help_s"].append(command_seconds(help_, copy, environment)[0])
        say(f"starting {turn + 1}/{turns}: " + ", ".join(f"{name} {each[-1]:.3g}" for name, each in seconds.items()))
    return {name: spread(each) for name, each in seconds.items()}
