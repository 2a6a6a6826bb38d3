"""Records of runs that never were, written and read by the project's own code: whatever score a test wants."""

from pathlib import Path

import numpy as np

from fer_lib.data import Faces
from fer_lib.evaluation import records

ROWS = {"Training": 70, "PublicTest": 140, "PrivateTest": 210}


def faces(name: str = "fer2013") -> Faces:
    """420 noise images, every emotion equally often in each split."""
    split = np.repeat([0, 1, 2], list(ROWS.values())).astype(np.uint8)
    labels = (np.arange(len(split)) % 7).astype(np.uint8)
    images = np.random.default_rng(0).integers(0, 256, (len(split), 48, 48), np.uint8)
    source = {"file": "fer2013.csv", "md5": "f8428a1e", "official_md5": "f8428a1e"} if name == "fer2013" else {}
    return Faces(images, labels, split, np.arange(len(split), dtype=np.int32), name, "5ca1ab1e" * 8, source)


def answers(labels: np.ndarray, wrong_every: int) -> np.ndarray:
    """Logits (m, 7) that are wrong on every ``wrong_every``-th row: they answer the next emotion there."""
    given = np.where(np.arange(len(labels)) % wrong_every == 0, (labels + 1) % 7, labels)
    return np.eye(7, dtype=np.float32)[given] * 4


def always(labels: np.ndarray, label: int) -> np.ndarray:
    """Logits (m, 7) of a collapsed network."""
    return np.tile(np.eye(7, dtype=np.float32)[label] * 9, (len(labels), 1))


def network(results: Path, seed: int, last, best=None, *, name="table1_feedforward", data="fer2013", **changes) -> dict:
    """Write and read the record of a network; ``last`` and ``best`` make logits from the labels."""
    everything = faces(data)
    test = everything.select(everything.rows("PublicTest+PrivateTest"))
    epochs, ran = 20, changes.pop("epochs", 4)
    parameters = {
        "data": data, "seed": seed, "model": "feedforward", "loss": "logits", "precision": "float32", "patience": 0,
        "validation_rows": "PublicTest+PrivateTest", "evaluation_rows": "PublicTest+PrivateTest", "kept_epoch": "last",
        "epochs": epochs, **changes.pop("parameters", {}),
    }  # fmt: skip
    climb = np.linspace(0.15, 0.5, ran) + 0.01 * seed
    history = [
        {"epoch": k + 1, "accuracy": a + 0.1, "loss": 2 - a}
        | {f"{rows}_accuracy": a for rows in ("PublicTest", "PrivateTest", "PublicTest+PrivateTest")}
        for k, a in enumerate(climb)
    ]
    kept = {
        "last": {"epoch": ran, "logits": last(test.labels)},
        "best": {"epoch": 2, "logits": (best or last)(test.labels)},
    }
    if milestone := changes.pop("milestone", None):
        kept["milestone"] = {"epoch": 3, "logits": milestone(test.labels)}
    if views := changes.pop("views", None):
        kept["views"] = {"epoch": ran, "logits": views(test.labels)}
    record, arrays = records.assemble(
        experiment=f"saravanan2019/{name}",
        title=changes.pop("title", "Feed-forward network"),
        profile=changes.pop("profile", "full"),
        parameters=parameters,
        faces=everything,
        evaluated=test,
        kept=kept,
        backend=changes.pop("backend", "tensorflow"),
        device={"kind": "cpu", "name": "Abacus 9000", "threads": 2},
        seconds=90.0,
        history=history,
        parameter_count=1_446_407,
    )
    record |= {"code": {"commit": None, "dirty": False}, **changes}
    folder = (
        results / "runs" / record["experiment"] / f"{records.label(record['backend'], record['precision'])}-seed{seed}"
    )
    records.write(folder, record, arrays)
    return records.read(folder)


def tree(results: Path, seed: int, *, held_out: bool = False, name="table1_decision_tree", wrong_every=3) -> dict:
    """Write and read the record of a decision tree, on a random part of all rows or on the two test sets."""
    everything = faces()
    rows = np.arange(0, len(everything), 5) if held_out else everything.rows("PublicTest+PrivateTest")
    test = everything.select(rows)
    record, arrays = records.assemble(
        experiment=f"saravanan2019/{name}",
        title="Decision tree",
        profile="full",
        parameters={"data": "fer2013", "seed": seed, "min_samples_split": 40, "random_split": held_out},
        faces=everything,
        evaluated=test,
        kept={"last": {"epoch": 1, "probabilities": answers(test.labels, wrong_every) / 4}},
        backend="sklearn",
        device={"kind": "cpu", "name": "Abacus 9000", "threads": 2},
        seconds=30.0,
    )
    record |= {"code": {"commit": None, "dirty": False}}
    folder = results / "runs" / record["experiment"] / f"sklearn-seed{seed}"
    records.write(folder, record, arrays)
    return records.read(folder)


def sweep(results: Path, settings: list[tuple[str, str, bool]], without: str = "") -> dict:
    """Write and read the record of a sweep of 8 first steps: loss, input scale, and whether it collapsed (to happy).

    ``without``: a quantity whose trace it lacks.
    """
    everything = faces()
    asked = everything.select(everything.rows("PublicTest"))
    record, arrays = records.assemble(
        experiment="ours/first_steps", title="First steps", profile="full",
        parameters={"data": "fer2013", "seed": 0, "model": "feedforward", "steps": 8}, faces=everything,
        evaluated=asked, kept={}, backend="tensorflow", device={"kind": "cpu", "name": "Abacus 9000", "threads": 2},
        seconds=9.0,
    )  # fmt: skip
    lines = [
        {"model": "feedforward", "optimizer": "adam", "input_scale": scale, "loss": loss, "learning_rate": 0.001,
         "batch_size": 128, "seed": 0, "steps": 8, "collapsed_to": "happy" if fallen else None,
         "most_given_share": 1.0 if fallen else 0.3, "stuck_since": 3 if fallen else None}
        for loss, scale, fallen in settings
    ]  # fmt: skip
    for name in {"loss", "accuracy", "saturated", "gradient_norm", "dead", "most_given_share"} - {without}:
        arrays[f"trace_{name}"] = np.tile(np.linspace(0, 1, 8, dtype=np.float32), (len(lines), 1))
    record |= {"code": {"commit": None, "dirty": False}, "sweep": lines}
    folder = results / "runs" / record["experiment"] / "tensorflow-seed0"
    records.write(folder, record, arrays)
    return records.read(folder)


def survey(results: Path, wrong_every: int = 5, missed_every: int = 0, name: str = "live_conditions") -> dict:
    """Write and read the record of a survey before a camera: one face in so many is told wrong, and one in three of
    those of 32 pixels is found, of others each but one in ``missed_every`` (0: each)."""
    everything = faces()
    asked = everything.select(everything.rows("PrivateTest"))
    first = answers(asked.labels, wrong_every).argmax(axis=1).astype(np.uint8)
    place = np.arange(len(first))
    missed = place % missed_every == 1 if missed_every else np.zeros(len(first), bool)
    given = {
        "first": np.stack([first, first]), "second": np.stack([(first + 6) % 7] * 2),
        "found_first": np.stack([np.where(place % 3, records.MISSED, first), np.where(missed, records.MISSED, first)])[
            None
        ],
        "seconds": np.full((1, len(first)), 0.01),
    }  # fmt: skip
    given = {key: values.astype(np.float32 if key == "seconds" else np.uint8) for key, values in given.items()}
    record, arrays = records.assemble(
        experiment=f"ours/{name}", title="Faces in use", profile="full",
        parameters={"data": "fer2013", "seed": 0, "split": "PrivateTest", "count": 0, "detectors": ["blaze"]},
        faces=everything, evaluated=asked, kept={}, backend="onnxruntime",
        device={"kind": "cpu", "name": "Abacus 9000", "threads": 2}, seconds=9.0,
    )  # fmt: skip
    arrays |= given
    lines = []
    for k, side in enumerate((32, 160)):
        counts = records.survey_counts(arrays, k, ["blaze"])
        lines.append({"condition": "size", "level": side, "usual": bool(k), **counts})
    record |= {"code": {"commit": None, "dirty": False}, "conditions": lines, "network_sha256": "5ca1ab1e"}
    folder = results / "runs" / record["experiment"] / "onnxruntime-seed0"
    records.write(folder, record, arrays)
    return records.read(folder)
