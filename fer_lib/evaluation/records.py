"""The records of runs, in ``results/runs``: each is written completely or not at all, and read only when complete.

A record is a folder ``runs/<study>/<name>/<backend>-seed<k>/`` with ``predictions.npz`` (``ids`` int32, ``labels`` and
``split`` uint8, and for each kept epoch E, "last", "best" or "milestone", ``probabilities_E`` (m, k) float16 and
``classes_E`` uint8, the argmax before rounding), ``run.ipynb``, the executed notebook, and ``metrics.json``, which is
written last, by rename, and holds the SHA-256 of the predictions. The file stores nothing twice (see ``pack``);
``read_arrays`` reads it. Git keeps only the executed notebook of seed 0; to see another one, make that run again.

The record of a sweep (``training.first_steps``) is a diagnostic: it has no scores (``metrics`` is empty), but a line
for each of its settings under ``sweep``, and beside ids, labels and split of the PublicTest rows that were predicted
the classes, ``answers`` (settings, m) uint8, and for each traced quantity Q ``trace_Q`` (settings, steps) float32.

The record of a survey (``live.survey``) has no scores either, but its lines under ``conditions``, its arrays beside
ids, labels and split of the faces that were put into frames, and the SHA-256 of the network that it used.
"""

import hashlib
import io
import json
import os
import platform
import resource
import shutil
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np

from .. import system
from ..data import SPLITS, Faces, audit, near_duplicates
from ..data.emotions import FER2013
from ..files import arrays as array_files
from ..files import documents, reason, refused, writing
from ..markdown import table
from . import metrics, provenance, unpacked

SCHEMA = 1
FILES = ("predictions.npz", "run.ipynb", "metrics.json")
"""A record's files, in the order in which they are written; ``keeps_notebook`` says when the second may be missing."""
KEPT = ("probabilities_", "classes_")
"""The name prefixes of the arrays that a record has for each kept epoch."""
FIELDS = {
    "experiment": str, "title": str, "backend": str, "precision": str, "seed": int, "profile": str, "parameters": dict,
    "data": dict, "metrics": dict, "history": list, "code": dict, "versions": dict, "device": dict, "seconds": float,
    "parameter_count": int, "finished": str, "predictions_sha256": str,
}  # fmt: skip
"""What every ``metrics.json`` has, by type; beside it what only some records have."""
AGAIN = "delete the folder to run it again"
DIVERGED = "the training diverged: train it with other parameters"
MISSED, NOT_ASKED = 255, 254
"""Values in a survey's predicted classes: the detector found no face; the face was not used."""
NETWORK = "network.keras"
"""The trained network, if the protocol says to keep it: next to the record, not part of it, and ignored by git."""


def label(backend: str, precision: str = "float32") -> str:
    """The backend and precision in the folder's name: runs of different ones never mix."""
    return backend if precision == "float32" else f"{backend}-{precision}"


def assemble(
    *,
    experiment: str,
    title: str,
    profile: str,
    parameters: dict,
    faces: Faces,
    evaluated: Faces,
    kept: dict[str, dict],
    backend: str,
    device: dict,
    seconds: float,
    history: list[dict] = (),
    parameter_count: int = 0,
    weights: dict | None = None,
) -> tuple[dict, dict[str, np.ndarray]]:
    """Score a run: its record, and the arrays of its predictions, as ``write`` takes them.

    ``kept`` maps "last" (and "best") to ``{"epoch": int}`` with ``"logits"`` (m, k) float32 for k emotions, or with
    ``"probabilities"`` if a model has no logits; rows in the order of ``evaluated``, ids ascending. ``faces`` is the
    whole data set. ``weights``: file and SHA-256 of the pretrained weights, if there were any.

    Raises ValueError for predictions that are not finite: their argmax would be the first emotion.
    """
    is_clean = audit.clean_rows(faces)[np.searchsorted(faces.ids, evaluated.ids)]
    arrays = {"ids": evaluated.ids.astype(np.int32), "labels": evaluated.labels, "split": evaluated.split}
    scores = {}
    for name, reading in kept.items():
        losses, p = None, reading.get("probabilities")
        array_files.check_finite(reading["logits"] if p is None else p, f"{experiment}, {name} epoch", DIVERGED)
        if p is None:
            p = metrics.probabilities(reading["logits"])
            losses = metrics.cross_entropy(reading["logits"], evaluated.labels, parameters["loss"])
        classes = p.argmax(axis=1).astype(np.uint8)
        arrays |= {f"probabilities_{name}": p.astype(np.float16), f"classes_{name}": classes}
        if (evaluated.split == 0).any():  # a random split holds out rows of all three
            scored = {"held out": metrics.score(classes, evaluated.labels, losses, len(faces.emotions))}
        else:
            scored = metrics.score_splits(
                classes, evaluated.labels, evaluated.split, is_clean, losses, len(faces.emotions)
            )
        scores[name] = {"epoch": reading["epoch"], **scored}
    record = {
        "schema": SCHEMA,
        "experiment": experiment,
        "title": title,
        "backend": backend,
        "precision": parameters.get("precision", "float32"),
        "seed": parameters["seed"],
        "profile": profile,
        "parameters": parameters,
        "data": {
            "name": faces.name,
            "sha256": faces.sha256,
            "rows": {name: int((faces.split == code).sum()) for code, name in enumerate(SPLITS)},
            "emotions": list(faces.emotions),
            "source": faces.source,
        },
        "metrics": scores,
        "history": list(history),
        "code": provenance.code(),
        "lock_sha256": provenance.lock_hash(),
        "versions": provenance.versions(),
        "device": device,
        "seconds": round(seconds, 2),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "parameter_count": parameter_count,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return record | ({"weights": weights} if weights else {}), arrays


def write(folder: Path, record: dict, arrays: dict[str, np.ndarray]) -> None:
    """Write a record: first the predictions, then, by renaming, the metrics with their checksum.

    Raises ValueError for probabilities that are not finite.
    """
    _check_probabilities(arrays, folder, DIVERGED)
    folder.mkdir(parents=True, exist_ok=True)
    content = packed_bytes(arrays)
    writing.replace_bytes(folder / "predictions.npz", content)
    checksum = hashlib.sha256(content).hexdigest()
    text = json.dumps(record | {"predictions_sha256": checksum}, indent=1) + "\n"
    writing.replace_text(folder / "metrics.json", text)


def packed_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """The content of a ``predictions.npz`` with these arrays, which ``pack`` makes smaller first."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_LZMA) as archive:  # a tenth smaller than what NumPy writes
        for name, array in pack(arrays).items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return content.getvalue()


def _check_probabilities(arrays: dict[str, np.ndarray], place: object, then: str) -> None:
    for name, array in arrays.items():
        if name.startswith("probabilities_"):
            array_files.check_finite(array, f"{place}, {name}", then)


def pack(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A record's arrays without redundant ones.

    Of ``classes_E`` only the rows whose argmax changed when the probabilities were rounded are kept, (r, 2) int32 of
    row and class, as ``moved_E``. An epoch equal to another one (the best is often the last) is kept as that one's
    name, ``same_E``.
    """
    packed = {name: array for name, array in arrays.items() if not name.startswith(KEPT)}
    epochs = [name.removeprefix("classes_") for name in arrays if name.startswith("classes_")]
    for place, epoch in enumerate(epochs):
        own = [arrays[name + epoch] for name in KEPT]
        same = [e for e in epochs[:place] if all(map(np.array_equal, own, (arrays[name + e] for name in KEPT)))]
        if same:
            packed[f"same_{epoch}"] = np.array(same[0])
            continue
        probabilities, classes = own
        moved = np.flatnonzero(probabilities.argmax(axis=1) != classes)
        packed[f"probabilities_{epoch}"] = probabilities
        packed[f"moved_{epoch}"] = np.stack([moved, classes[moved]], axis=1).astype(np.int32)
    return packed


def unpack(packed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays that ``pack`` made these from; older arrays are returned unchanged."""
    arrays = {name: array for name, array in packed.items() if not name.startswith(("moved_", "same_"))}
    for name in packed:
        if name.startswith("moved_"):
            epoch = name.removeprefix("moved_")
            classes = packed[f"probabilities_{epoch}"].argmax(axis=1).astype(np.uint8)
            rows, moved = packed[name].T
            if rows.size and rows.min() < 0:
                raise IndexError(f"{name} names row {rows.min()}")
            classes[rows] = moved
            arrays[f"classes_{epoch}"] = classes
    for name in packed:
        if name.startswith("same_"):
            arrays |= {kind + name.removeprefix("same_"): arrays[f"{kind}{packed[name]}"] for kind in KEPT}
    return arrays


def keeps_notebook(seed: int) -> bool:
    """Whether git, ``export`` and the report's links include the executed notebook of a run with this seed."""
    return seed == 0


WHOLE, NEW = ".whole", ".new"
"""Folders within a record's: what is being put in its place, and what is not all there yet."""


def put(source: Path, folder: Path) -> None:
    """Move a complete record from one folder to another, replacing an older one.

    A kill or a power cut leaves the old record or the new one, if need be such that ``put_to_the_end`` finishes it;
    never a mixture of two. Raises FileNotFoundError if the source is incomplete, OSError where it cannot be put there;
    the old record then stays as it is.
    """
    for name in ("predictions.npz", "metrics.json"):
        if not (source / name).exists():
            raise FileNotFoundError(f"{source / name}: not there, so no record was written; see the executed notebook")
    put_to_the_end(folder)
    if not (folder / "metrics.json").exists():  # what is left of a record
        for name in (NETWORK, "run.ipynb"):
            (folder / name).unlink(missing_ok=True)
    new = folder / NEW
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        for name in [NETWORK, *FILES]:
            if (source / name).exists():
                _link(source / name, new / name)
                writing.settle(new / name)
        writing.settle(new)
        os.replace(new, folder / WHOLE)
        writing.settle(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    put_to_the_end(folder)
    for name in [NETWORK, *FILES]:
        (source / name).unlink(missing_ok=True)


def put_to_the_end(folder: Path) -> None:
    """Finish what ``put`` was killed at, where that is so. It may be killed, too."""
    whole = folder / WHOLE
    if not whole.exists():
        return
    if (whole / "metrics.json").exists():
        if (folder / "metrics.json").exists():  # the old one's, so no file was moved yet
            for name in (NETWORK, "run.ipynb"):
                (folder / name).unlink(missing_ok=True)
            (folder / "metrics.json").unlink()
        for name in [NETWORK, *FILES]:
            if (whole / name).exists():
                os.replace(whole / name, folder / name)
        writing.settle(folder)
    shutil.rmtree(whole)


def _link(source: Path, new: Path) -> None:
    """A second name for a file; on another disk, or where there are no such names, a copy."""
    try:
        os.link(source, new)
    except OSError:
        shutil.copyfile(source, new)


def summary(record: dict) -> str:
    """A record's scores as a Markdown table."""
    lines = [
        {
            "reading": f"{kept} epoch ({reading['epoch']})",
            "rows": name,
            "n": f"{score['n']:,}",
            "accuracy": f"{score['accuracy']:.2%}",
            "loss": f"{score['loss']:.4f}" if "loss" in score else "",
        }
        for kept, reading in record["metrics"].items()
        for name, score in reading.items()
        if name != "epoch"
    ]
    return table(lines)


def read(folder: Path) -> dict:
    """Read one record, with its ``folder`` added.

    Raises ValueError naming the file if it is no record, or if the predictions are not the ones it was written with.
    """
    path = folder / "metrics.json"
    record = documents.read_json(path, then=AGAIN)
    if not isinstance(record, dict) or "schema" not in record:
        raise refused(path, "no record", f"one of schema {SCHEMA}", AGAIN)
    if record["schema"] != SCHEMA:
        raise ValueError(f"{path}: found schema {record['schema']}, expected {SCHEMA}; run it again with this version")
    for name, kind in FIELDS.items():
        if name not in record or type(record[name]) not in ((int, float) if kind is float else (kind,)):
            found = f"{name} {record[name]!r:.100}" if name in record else f"no {name}"
            raise refused(path, found, f"one that is {documents.KINDS[kind]}", AGAIN)
    for name, kind in {"name": str, "sha256": str, "source": dict, "rows": dict}.items():
        if not isinstance(record["data"].get(name), kind):
            raise refused(path, f"data without {name}", "its name, hash and source, and its rows", AGAIN)
    counts = record["data"]["rows"]
    if counts.keys() != set(SPLITS) or any(type(count) is not int or count < 0 for count in counts.values()):
        raise refused(path, f"rows {counts!r:.100}", f"a count for each of {', '.join(SPLITS)}", AGAIN)
    expected = record["predictions_sha256"]
    predictions = folder / "predictions.npz"
    actual = system.file_hash(predictions) if predictions.exists() else "no file"
    if actual != expected:
        raise ValueError(
            f"{predictions}: found SHA-256 {actual}, expected {expected} from metrics.json; "
            "restore it from git, or delete the folder to run it again"
        )
    return record | {"folder": folder}


def are_in(folder: Path) -> bool:
    """Whether a results folder has a record, of which nothing is read."""
    return any(folder.glob("runs/*/*/*/metrics.json"))


_held: dict[Path, list[dict]] = {}


@contextmanager
def held(results: Path, all_records: list[dict]) -> Iterator[None]:
    """Within this, ``load`` of this folder gives these records, in this process and its copies, and reads no file."""
    _held[results] = all_records
    try:
        yield
    finally:
        del _held[results]


class History(Sequence):
    """A record's history, read-only, in a tenth of the memory: each entry, a dict, is made when it is asked for.

    entries: dicts with the same keys, of whole numbers and floats.
    """

    def __init__(self, entries: list[dict]):
        self.kinds = {name: type(value) for name, value in entries[0].items()}
        if any({name: type(value) for name, value in entry.items()} != self.kinds for entry in entries):
            raise TypeError("entries: found other keys or types in some, expected the same in each")
        self.values = np.array([[entry[name] for name in self.kinds] for entry in entries], np.float64)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place):
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        return {name: kind(value) for (name, kind), value in zip(self.kinds.items(), self.values[place].tolist())}


def _small(record: dict, seen: dict) -> dict:
    """The same record in less memory; ``seen`` has what many records have in common."""
    try:
        history = History(record["history"])
        history.kinds = seen.setdefault(tuple(history.kinds.items()), history.kinds)
    except (IndexError, TypeError, ValueError):  # none, or entries that differ in kind
        history = record["history"]
    alike = {name: seen.setdefault(repr(record[name]), record[name]) for name in ("data", "code", "versions", "device")}
    return record | alike | {"history": history}


def load(results: Path) -> list[dict]:
    """All records below a results folder, ordered by experiment, backend, precision and seed."""
    if results in _held:
        return list(_held[results])
    seen = {}
    all_records = [_small(read(path.parent), seen) for path in (results / "runs").glob("*/*/*/metrics.json")]
    return sorted(all_records, key=lambda r: (r["experiment"], r["backend"], r["precision"], r["seed"]))


def predictions(record: dict) -> dict[str, np.ndarray]:
    """The arrays of a record's predictions, read-only: of its unpacked copy, where there is one, else its file."""
    copy = unpacked.place(record)
    arrays = unpacked.read(copy, record["predictions_sha256"])
    if arrays is None:
        path = record["folder"] / "predictions.npz"
        arrays = _read_arrays(path, path.stat().st_mtime_ns)
    return dict(arrays)


@lru_cache(maxsize=256)
def _read_arrays(path: Path, modified: int) -> dict[str, np.ndarray]:
    arrays = read_arrays(path)
    for array in arrays.values():
        array.setflags(write=False)
    return arrays


def read_arrays(path: Path, content: bytes | None = None) -> dict[str, np.ndarray]:
    """The arrays of a ``predictions.npz``, complete. ``content``: the file's, where it was read already.

    Raises ValueError if it has none, or probabilities that are not finite.
    """
    expected, then = "the predictions of a record", "restore it from git, or run it again"
    packed = array_files.read_npz(path if content is None else io.BytesIO(content), path, expected, then)
    try:
        arrays = unpack(packed)
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise refused(path, f"something else ({reason(error)})", expected, then) from error
    _check_probabilities(arrays, path, then)
    return arrays


NEAR_CLEAN = " near-clean"
"""Suffix of PublicTest or PrivateTest: its rows whose image is in no earlier part, neither exactly nor nearly."""


_near_clean: dict[tuple, dict] = {}


def scores(record: dict, kept: str, rows: str) -> dict:
    """A record's scores on some rows. Raises ValueError if it has none.

    Scores on near-clean rows of the official data are computed from its predictions and the audit's lists.
    """
    if rows.endswith(NEAR_CLEAN) and is_official(record):
        listed = near_duplicates.listed_ids()
        key = record["predictions_sha256"], kept, rows, listed
        if key not in _near_clean:  # scored once: pages and claims ask for it again and again
            arrays = row_predictions(record, kept, rows.removesuffix(NEAR_CLEAN), ("ids", "labels", "classes"))
            chosen = ~among(arrays["ids"], listed)
            _near_clean[key] = metrics.score(arrays["classes"][chosen], arrays["labels"][chosen])
        return _near_clean[key]
    try:
        return record["metrics"][kept][rows]
    except KeyError:
        there = "; ".join(f"{name}: {', '.join(k for k in v if k != 'epoch')}" for name, v in record["metrics"].items())
        message = f"{record['folder']}: no scores of the {kept} epoch on {rows}; there are {there}"
        raise ValueError(message) from None


COLUMNS = ("ids", "labels", "classes", "probabilities")


def row_predictions(record: dict, kept: str, rows: str, columns: tuple[str, ...] = COLUMNS) -> dict[str, np.ndarray]:
    """Row by row, these ``columns``: ids, labels and classes (n,), probabilities (n, 7).

    Raises ValueError if the rows are unknown.
    """
    scores(record, kept, rows)
    arrays = predictions(record)
    if rows != "held out" and not set(rows.split("+")) <= set(SPLITS):
        raise ValueError(f"rows: found {rows!r}, expected splits joined by '+', or 'held out', to look at row by row")
    codes = range(len(SPLITS)) if rows == "held out" else [SPLITS.index(name) for name in rows.split("+")]
    wanted = np.isin(np.arange(256), list(codes))[arrays["split"]]  # a table of all codes: fast
    if wanted.all():
        wanted = slice(None)  # and nothing is copied
    names = {"ids": "ids", "labels": "labels", "classes": f"classes_{kept}", "probabilities": f"probabilities_{kept}"}
    return {name: arrays[names[name]][wanted] for name in columns}


def among(ids: np.ndarray, listed: frozenset[int]) -> np.ndarray:
    """Which ids, (n,) int32, 0 or more, are among those listed, (n,) bool."""
    table = _table(listed)
    return table[np.minimum(ids, len(table) - 1)]


@lru_cache(maxsize=8)
def _table(listed: frozenset[int]) -> np.ndarray:
    """Of each id up to one beyond the highest, whether it is listed: (highest + 2,) bool."""
    table = np.zeros(max(listed, default=0) + 2, bool)
    table[list(listed)] = True
    return table


def is_official(record: dict) -> bool:
    """Whether a record's rows are those of the official data, such as fer2013.csv."""
    source = record["data"]["source"]
    return source.get("md5") is not None and source["md5"] == source.get("official_md5")


def emotions(record: dict) -> tuple[str, ...]:
    """The emotions of a record's labels and classes, by code; an old record that does not name them has FER2013's."""
    return tuple(record["data"].get("emotions", FER2013))


def traces(record: dict) -> dict[str, np.ndarray]:
    """What a sweep traced: each quantity (settings, steps) float32, in the order of ``record["sweep"]``."""
    arrays = predictions(record)
    return {name.removeprefix("trace_"): values for name, values in arrays.items() if name.startswith("trace_")}


def usual_level(conditions: list[dict]) -> int:
    """The position of a survey's first unchanged level, in its lines and its arrays."""
    return [line["usual"] for line in conditions].index(True)


def recognised(arrays: dict[str, np.ndarray], level: int, detector: int) -> dict[str, np.ndarray]:
    """For a survey's faces at one of its levels, (n,) bool each: found, by one of its detectors; right, recognised when
    cropped at the true place; right_of_found, found and recognised in the detector's crop."""
    labels, found_first = arrays["labels"], arrays["found_first"][detector, level]
    return {
        "found": found_first < NOT_ASKED,
        "right": arrays["first"][level] == labels,
        "right_of_found": found_first == labels,
    }


def survey_counts(arrays: dict[str, np.ndarray], level: int, detectors: list[str]) -> dict:
    """How many faces of a survey's level were used (n), are right, and by detector are found and right_of_found."""
    by_detector = {name: recognised(arrays, level, k) for k, name in enumerate(detectors)}
    first = arrays["first"][level]
    counts = {"n": int((first != NOT_ASKED).sum()), "right": int((first == arrays["labels"]).sum())}
    for what in ("found", "right_of_found"):
        counts[what] = {name: int(each[what].sum()) for name, each in by_detector.items()}
    return counts


def share(line: dict, name: str, detector: str | None = None) -> tuple[float, float, float]:
    """For a survey's line, the share of faces that are right, or by a detector found or right_of_found, with its Wilson
    interval: (share, low, high), NaN without faces."""
    from . import statistics  # slow to import

    k, n = (line[name] if detector is None else line[name][detector]), line["n"]
    return (k / n, *statistics.wilson(k, n)) if n else (float("nan"),) * 3


def check(record: dict) -> None:
    """Raise ValueError if a record's predictions, scores and counts of rows do not fit together.

    The scores of PublicTest, PrivateTest and both, or of the held-out rows, are computed again, and a sweep's
    accuracies. Losses are not: they need more digits than the predictions have.
    """
    arrays, place = predictions(record), record["folder"] / "predictions.npz"
    kept, sweep, conditions = record["metrics"], record.get("sweep"), record.get("conditions")
    n, count, of_splits = np.size(arrays.get("ids", ())), len(emotions(record)), list(record["data"]["rows"].values())

    def demand(holds: bool, what: str) -> None:
        if not holds:
            raise ValueError(f"{place}: {what}; restore the record from git, or make the run again where it was made")

    shapes = dict.fromkeys(["ids", "labels", "split", *(f"classes_{name}" for name in kept)], (n,))
    shapes |= {f"probabilities_{name}": (n, count) for name in kept}
    if sweep:
        traced = [name for name in arrays if name.startswith("trace_")]
        shapes |= dict.fromkeys(traced, (len(sweep), record["parameters"]["steps"])) | {"answers": (len(sweep), n)}
    if conditions:
        names = record["parameters"]["detectors"]
        shapes |= {"first": (len(conditions), n), "second": (len(conditions), n), "seconds": (len(names), n)}
        shapes["found_first"] = len(names), len(conditions), n
    demand(arrays.keys() == shapes.keys(), f"found {', '.join(sorted(arrays))}, expected {', '.join(sorted(shapes))}")
    demand(n > 0, "no rows")
    for name, shape in shapes.items():
        demand(arrays[name].shape == shape, f"{name} is {arrays[name].shape}, expected {shape}")
    ids, labels, split = arrays["ids"], arrays["labels"], arrays["split"]
    if sweep:
        again = (arrays["answers"] == labels).mean(axis=1).tolist()
        written = [line["accuracy"] for line in sweep]
        demand(np.allclose(again, written), f"its settings score {again}, metrics.json says {written}")
    for k, line in enumerate(conditions or []):
        again = survey_counts(arrays, k, names)
        written = {name: line.get(name) for name in again}
        demand(again == written, f"{line['condition']} {line['level']} counts {again}, metrics.json says {written}")
    demand(bool((np.diff(ids) > 0).all()), "ids do not ascend")
    selected = "ferplus" in record["data"]["name"]  # some of FER2013's rows, whose ids they keep
    last = ids[-1] < sum(of_splits) or selected
    demand(ids[0] >= 0 and last, f"ids of {ids[0]} to {ids[-1]}, of {sum(of_splits)} rows")
    demand(labels.max() < count and split.max() < len(SPLITS), "labels or splits out of range")
    counts = np.bincount(split, minlength=len(SPLITS))
    demand(bool((counts <= of_splits).all()), f"{counts.tolist()} rows of the splits' {of_splits}")
    sets = {"PublicTest": split == 1, "PrivateTest": split == 2, "PublicTest+PrivateTest": split > 0}
    sets["held out"] = np.ones(n, bool)
    for name, reading in kept.items():
        p, classes = arrays[f"probabilities_{name}"].astype(np.float32), arrays[f"classes_{name}"]
        demand(bool((np.abs(p.sum(axis=1) - 1) < 0.01).all()), f"probabilities_{name} do not sum to 1")
        demand(classes.max() < count, f"classes_{name} out of range")
        chosen = p[np.arange(n), classes]
        demand(bool((chosen >= p.max(axis=1) - 0.001).all()), f"classes_{name} are not the likeliest")
        for rows in sets.keys() & reading.keys():
            again = metrics.score(classes[sets[rows]], labels[sets[rows]], count=count)
            written = {key: reading[rows].get(key) for key in again}
            demand(again == written, f"on {rows} ({name} epoch) they score {again}, metrics.json says {written}")


def is_current(folder: Path, parameters: dict, data_sha256: str, defaults: dict) -> bool:
    """Whether a folder has a complete record of these parameters on this data. A damaged record is not current.

    A record older than a parameter lacks it and counts as having the notebook's ``defaults``.
    """
    try:
        record = read(folder)
    except (OSError, ValueError):
        return False
    known = {name: defaults[name] for name in parameters} | record["parameters"]
    return known == parameters and record["data"]["sha256"] == data_sha256


def cpu() -> dict:
    """The processor as a record's device: ``kind`` "cpu", ``name``, ``processor``, ``threads`` (``OMP_NUM_THREADS``,
    else all).

    ``processor`` tells those of one name apart, which round differently: "family 26, model 2, stepping 1", "" where the
    system does not say.
    """
    try:
        with open("/proc/cpuinfo") as file:
            first = file.read().split("\n\n")[0]
        facts = dict(map(str.strip, line.split(":", 1)) for line in first.splitlines() if ":" in line)
        name = facts["model name"]
    except (OSError, LookupError):
        facts, name = {}, platform.processor() or platform.machine()
    named = {"family": "cpu family", "model": "model", "stepping": "stepping"}
    processor = ", ".join(f"{short} {facts[long]}" for short, long in named.items() if long in facts)
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    return {"kind": "cpu", "name": name, "processor": processor, "threads": threads}
