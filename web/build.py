"""Builds the web page into one folder for any web server: the files beside this one, the live model, the two face
detection networks converted to ONNX, and ONNX Runtime for browsers, fetched once by npm and checked."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from fer_lib.live import blaze, boxes, inference, pipeline

WEB = Path(__file__).resolve().parent
SOURCES = ("index.html", "style.css", "app.js", "faces.js", "blaze.js")
NETWORKS = {"search": (blaze.SEARCHED, 256), "near": (blaze.NEAR, 128)}
CONSTANTS = (
    "SIDE", "UP", "ROOM", "SIGN", "LEAST", "CENTRAL", "SHARED", "SURE", "TILE", "STILL_TILE", "LARGE", "EVERY", "ONE",
)  # fmt: skip
"""The constants of blaze.py that blaze.js needs."""
RUNTIME = "onnxruntime-web"
FILES = {"ort.wasm.bundle.min.mjs": "ort.mjs", "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm"}


def build(into: Path) -> None:
    """Write the page into a folder.

    Raises what ``inference.load`` and ``blaze`` raise, and RuntimeError if ONNX Runtime for browsers cannot be
    downloaded or tf2onnx is not installed.
    """
    classifier = inference.load()
    into.mkdir(parents=True, exist_ok=True)
    runtime(into / "ort")
    for name, (file, _) in NETWORKS.items():
        converted(file, into / f"{name}.onnx")
    shutil.copy(inference.MODEL, into / "model.onnx")
    watcher = inspect.signature(pipeline.Watcher).parameters
    page = {
        "emotions": classifier.emotions,
        "side": classifier.side,
        "threshold": watcher["threshold"].default,
        "smoothing": watcher["smoothing"].default,
        "same": pipeline.SAME,
        "still": pipeline.STILL,
        "floor": pipeline.FLOOR,
        "flat": pipeline.FLAT,
        "networks": {name: {"side": side, "layers": blaze.LAYERS[side]} for name, (_, side) in NETWORKS.items()},
        "blaze": {name: getattr(blaze, name) for name in CONSTANTS} | {"MARGIN": boxes.MARGIN},
        "text": about(),
    }
    (into / "about.json").write_text(json.dumps(page))
    for name in SOURCES:
        shutil.copy(WEB / name, into / name)


def about() -> str:
    """The text on the networks in the page's footer."""
    score = json.loads(inference.MODEL.with_suffix(".json").read_text())["scores"]["model.onnx"]["PrivateTest"]
    low, high = (100 * end for end in score["interval"])
    return (
        f"The network is right on {100 * score['accuracy']:.1f} % [{low:.1f}, {high:.1f}] of FER2013's PrivateTest, "
        "whose labels people agree with on about 65 %. Its card, docs/model_card.md, says how it fails and what it "
        "must not be used for. Faces are found by BlazeFace, two networks of Google's MediaPipe (Apache License 2.0), "
        f"from the package {blaze.PACKAGE.replace('==', ' ')}. All three run on ONNX Runtime Web."
    )


def converted(file: tuple[str, str], into: Path) -> None:
    """Converts one of the detector's files (name and SHA-256) to ONNX, unless it is there already."""
    stamp = into.with_suffix(".sha256")
    if into.exists() and stamp.exists() and stamp.read_text() == file[1]:
        return
    if find_spec("tf2onnx") is None:
        raise RuntimeError(
            "detector: found no tf2onnx, expected it for the conversion to ONNX; install requirements.lock"
        )
    # In a separate process, because it imports TensorFlow.
    done = subprocess.run(
        [sys.executable, "-m", "tf2onnx.convert", "--opset", "13", "--tflite", blaze._file(*file), "--output", into],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"tf2onnx could not convert {file[0]}: {done.stderr.strip()[-500:]}")
    stamp.write_text(file[1])


def runtime(into: Path) -> None:
    """ONNX Runtime for browsers, as ``package-lock.json`` has it, fetched by npm unless that is there already.

    npm holds each package against its checksum in the lock. No script of a package is run.
    """
    stamp, lock = into / "lock", (WEB / "package-lock.json").read_text()
    if stamp.exists() and stamp.read_text() == lock:
        return
    shutil.rmtree(into, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(WEB / name, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        except FileNotFoundError:
            raise RuntimeError(f"{RUNTIME}: found no npm, expected it for the download; install Node.js") from None
        if done.returncode:
            raise RuntimeError(
                f"{RUNTIME}: found that npm cannot fetch it ({(done.stderr or done.stdout).strip()}), expected it as "
                "web/package-lock.json has it; check the network, and use no file of another checksum"
            )
        into.mkdir(parents=True)
        for name, as_ in FILES.items():
            shutil.copy(Path(folder, "node_modules", RUNTIME, "dist", name), into / as_)
    stamp.write_text(lock)


if __name__ == "__main__":
    try:
        build(WEB / "build")
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"error: {error}")
