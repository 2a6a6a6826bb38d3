"""The web page in one folder that any web server can serve: what lies beside this file, the shipped network, a face
detector out of OpenCV, and ONNX Runtime's build for browsers, fetched by npm once and checked."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

import cv2

from fer_lib.live import inference, pipeline

WEB = Path(__file__).resolve().parent
SOURCES = ("index.html", "style.css", "app.js", "faces.js", "haar.js")
CASCADE = "haarcascade_frontalface_alt2.xml"
RUNTIME = "onnxruntime-web@1.30.0"
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""SHA-512 of that package."""
FILES = {"ort.wasm.bundle.min.mjs": "ort.mjs", "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm"}


def build(into: Path, model: Path | None = None) -> None:
    """Write the page into a folder; ``model``: another network than the one that ships.

    Raises what ``inference.load`` raises, and RuntimeError where ONNX Runtime for browsers cannot be fetched.
    """
    classifier = inference.load(model)
    into.mkdir(parents=True, exist_ok=True)
    runtime(into / "ort")
    shutil.copy(model or inference.MODEL, into / "model.onnx")
    page = {"emotions": classifier.emotions, "side": classifier.side, "margin": pipeline.MARGIN, "text": about(model)}
    (into / "about.json").write_text(json.dumps(page))
    (into / "cascade.json").write_text(json.dumps(cascade(Path(cv2.data.haarcascades) / CASCADE)))
    for name in SOURCES:
        shutil.copy(WEB / name, into / name)


def about(model: Path | None) -> str:
    """The text on the network in the page's foot."""
    if model:
        return f"The network is {model.name}, of which nothing is known here."
    score = json.loads(inference.MODEL.with_suffix(".json").read_text())["scores"]["model.onnx"]["PrivateTest"]
    low, high = (100 * end for end in score["interval"])
    return (
        f"The network was right on {100 * score['accuracy']:.1f} % [{low:.1f}, {high:.1f}] of FER2013's PrivateTest, "
        "whose labels people agree with on about 65 %. Its card, docs/model_card.md, says how it fails and what it "
        "must not be used for. Faces are found by OpenCV's Haar cascade, the network runs on ONNX Runtime Web."
    )


def cascade(file: Path) -> dict:
    """A cascade of OpenCV's as haar.js reads it, its licence with it."""
    text = file.read_text()
    root = xml.fromstring(text).find("cascade")

    def numbers(element) -> list[float]:
        return [float(number) for number in element.text.split()]

    return {
        "licence": text[text.index("<!--") + 4 : text.index("-->")].strip(),
        "side": int(root.find("width").text),
        "features": [[numbers(rectangle) for rectangle in feature.find("rects")] for feature in root.find("features")],
        "stages": [
            {
                "threshold": float(stage.find("stageThreshold").text),
                "trees": [
                    {"nodes": numbers(tree.find("internalNodes")), "leaves": numbers(tree.find("leafValues"))}
                    for tree in stage.find("weakClassifiers")
                ],
            }
            for stage in root.find("stages")
        ],
    }


def runtime(into: Path) -> None:
    """ONNX Runtime for browsers, fetched by npm unless this version is there already."""
    stamp = into / "version"
    if stamp.exists() and stamp.read_text() == RUNTIME:
        return
    shutil.rmtree(into, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                ["npm", "pack", RUNTIME, "--silent"], cwd=folder, capture_output=True, text=True, timeout=300
            )
        except FileNotFoundError:
            raise RuntimeError("npm is not here, and fetches ONNX Runtime for browsers; install Node.js") from None
        if done.returncode:
            raise RuntimeError(f"npm could not fetch {RUNTIME}: {done.stderr.strip()}; is there a network?")
        (archive,) = Path(folder).glob("*.tgz")
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != INTEGRITY:
            raise RuntimeError(f"{RUNTIME}: found SHA-512 {found}, expected {INTEGRITY}; it is not what was tested")
        into.mkdir(parents=True)
        with tarfile.open(archive) as tar:
            for name, as_ in FILES.items():
                (into / as_).write_bytes(tar.extractfile(f"package/dist/{name}").read())
    stamp.write_text(RUNTIME)


if __name__ == "__main__":
    try:
        build(WEB / "build")
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"error: {error}")
