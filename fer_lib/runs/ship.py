"""The live model, from its training to its card: what ``make live-model`` does."""

import json
from pathlib import Path

import numpy as np

from .. import data, paths, runs, system
from ..data import Faces
from ..evaluation import calibration, metrics, records
from ..files import documents, writing
from ..live import inference, model_card
from ..training.protocol import Protocol
from . import plan

EXPERIMENT = "ours/live_model"
PEERS = paths.ROOT / "bench" / "peers.json"
"""What ``make bench-peers`` measured of others."""
SHOWN = 500
"""Training faces that show LiteRT's converter how large activations grow."""


def make(profile: str = "full") -> Path:
    """Train ``EXPERIMENT`` where its network is not here yet, and write model, figures and card; the card's path.

    At ``full`` they go to their places in git; elsewhere, such as at ``smoke`` on drawn faces, below ``results/local``.
    A training that was stopped goes on; one made elsewhere, on another backend too, that ``transport`` brought here is
    as good. The temperature is fitted on PublicTest, on which nothing else was chosen. Raises what ``runs.execute``
    raises, and RuntimeError where an exported file predicts otherwise than Keras.
    """
    runs.check_data(profile)
    possible = [runs.run(EXPERIMENT, 0, profile, backend) for backend in ("", "tensorflow", "jax")]  # "": this one
    trained = [run for run in possible if (run.folder / records.NETWORK).exists() and not plan.missing([run])]
    run = (trained or possible)[0]
    if not trained:
        runs.execute(EXPERIMENT, 0, profile)
    kept = run.folder / records.NETWORK
    folder = inference.MODEL.parent if profile == "full" else paths.results_folder(profile) / "live_model"
    card = paths.ROOT / "docs" / "model_card.md" if profile == "full" else folder / "model_card.md"
    return write_files(records.read(run.folder), kept, data.load_faces(run.parameters["data"]), folder, card)


def write_files(record: dict, kept: Path, faces: Faces, folder: Path, card: Path) -> Path:
    """Write ``model.onnx``, ``model.int8.tflite``, ``model.json`` and the card of a run's network (``kept``)."""
    from ..live import export
    from ..training import batches

    parameters, scale = record["parameters"], record["parameters"]["input_scale"]
    if scale != "each standardised":
        raise ValueError(f"input_scale: found {scale}, expected each standardised; see experiments/{EXPERIMENT}.yaml")
    network = export.trained(kept, parameters["model"], parameters["model_options"])
    tests = faces.select(faces.rows("PublicTest+PrivateTest"))
    public = tests.rows("PublicTest")
    looks = export.view_logits(network, tests.images)
    logits = looks.mean(axis=0)
    fitted = calibration.temperature(logits[public], tests.labels[public])
    facts = {"experiment": record["experiment"], "seed": str(record["seed"]), "data_sha256": faces.sha256}
    protocol = Protocol(**{name: value for name, value in parameters.items() if name not in ("data", "seed")})
    shown = faces.images[np.random.default_rng(0).choice(batches.training_rows(faces, protocol), SHOWN)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").unlink(missing_ok=True)  # comes last: without it there is no model
    files = {
        "model.onnx": export.to_onnx(network, fitted, facts),
        "model.int8.tflite": export.to_litert(network, fitted, batches.each_standardised(shown)),
    }
    for name, content in files.items():
        writing.replace_bytes(folder / name, content)
    by_keras = metrics.probabilities(logits / np.float32(fitted))
    by_file = {name: inference.load(folder / name).classify(tests.images) for name in files}
    off = float(np.abs(by_file["model.onnx"] - by_keras).max())
    if not off <= 1e-4:
        raise RuntimeError(
            f"{folder / 'model.onnx'}: found probabilities {off:.2g} off those of Keras, expected 1e-4 at most"
        )
    about = {
        "experiment": record["experiment"],
        "seed": record["seed"],
        "made_by": {key: record[key] for key in ("backend", "precision", "device", "seconds", "versions", "code")},
        "epochs": len(record["history"]),
        "parameters": parameters,
        "data": record["data"],
        "weights": network.count_params(),
        "temperature": fitted,
        "sha256": system.file_hash(folder / "model.onnx"),
        "files": {
            name: {"bytes": (folder / name).stat().st_size, "sha256": system.file_hash(folder / name)} for name in files
        },
        "off_keras": off,
        "int8_agreement": float((by_file["model.int8.tflite"].argmax(1) == by_keras.argmax(1)).mean()),
        "scores": {name: model_card.scores(p, tests, faces) for name, p in by_file.items()},
        "uncalibrated": model_card.scores(metrics.probabilities(logits), tests, faces),
        "without_mirror": model_card.scores(metrics.probabilities(looks[0]), tests, faces),
        "confusion": model_card.confusion(by_file["model.onnx"].argmax(1), tests),
        "abstaining": model_card.abstaining(by_file["model.onnx"], tests),
    }
    card.parent.mkdir(parents=True, exist_ok=True)
    peers = documents.read_json(PEERS, then="`make bench-peers KEEP=1` writes it")["accuracy"]
    writing.replace_text(card, model_card.markdown(about, peers))
    writing.replace_text(folder / "model.json", json.dumps(about, indent=1) + "\n")
    return card
