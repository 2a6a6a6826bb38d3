"""One network on several data sets: trained on one, scored on the test rows of others.

Emotions are matched by name, never by number (``emotions.mapping``). One without a counterpart is an error, unless it
is left out by name. A network is a Keras file or a file of its predictions (see ``prediction_files``).
"""

import os
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from .. import data, paths
from ..data import SIDE, SPLITS, Faces, affectnet
from ..data.emotions import EIGHT, FER2013, LABEL_SETS, mapping
from ..files import archives, arrays, reason, refused
from ..markdown import table
from . import prediction_files, scoring

DIVISORS = {"0..255": 1.0, "0..1": 255.0}
"""The divisor of grey levels for each input scale."""
BATCH = 256


def score(
    network: str, names: list[str], outputs: str = "", input_scale: str = "0..1", leave_out: tuple[str, ...] = ()
) -> dict:
    """Score a network on PublicTest and PrivateTest of each data set; the result can be written as JSON.

    network: a ``.keras`` file whose input is (n, side, side, 1) grey or (n, side, side, 3) RGB and whose output has one
        number for each emotion, logits or probabilities; or a file of predictions for a single data set.
    outputs: the order of its outputs, a name in ``emotions.LABEL_SETS``; "" is FER2013's seven.
    input_scale: "0..1" or "0..255", the scale of its input in training, which the file does not say.
    leave_out: emotions that the network does not know; their rows are not scored.

    Returns network, outputs, and rows; for each data set and part these have data, part, n, left_out (rows),
    other_answers (predictions of an emotion that the data does not have; they count as wrong), accuracy and its Wilson
    interval, balanced_accuracy (mean recall of the emotions that occur, as in a set with equally many of each), and
    recall by emotion. Raises ValueError if label sets do not match or the network has another form, and what
    ``data.load_faces`` raises.
    """
    for name in leave_out:
        if name not in EIGHT:
            raise ValueError(f"leave out: found {name!r}, expected one of {', '.join(EIGHT)}")
    if outputs and outputs not in LABEL_SETS:
        raise ValueError(f"outputs: found {outputs!r}, expected one of {', '.join(LABEL_SETS)}")
    if input_scale not in DIVISORS:
        raise ValueError(f"input scale: found {input_scale!r}, expected one of {', '.join(DIVISORS)}")
    is_model = _is_model(Path(network))
    if not is_model and len(names) != 1:
        raise ValueError(f"{network}: found {len(names)} data sets, expected one, whose rows it predicts")
    if not is_model:
        prediction_files.check(network)
    model = _model(Path(network), outputs or "fer2013") if is_model else None
    known = LABEL_SETS[outputs or "fer2013"] if is_model else FER2013
    lines = []
    for name in names:
        faces = _faces(name, model)
        skipped = tuple(emotion for emotion in leave_out if emotion in faces.emotions)
        try:
            codes = mapping(faces.emotions, known, skipped)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        classes = (
            _classes(model, network, faces, input_scale)
            if is_model
            else prediction_files.read(network, faces)["classes"]
        )
        as_labels = np.full(len(known), len(faces.emotions))  # the predicted classes by the codes of the labels
        as_labels[codes[codes >= 0]] = np.flatnonzero(codes >= 0)
        predictions = {"classes": as_labels[classes], "probabilities": None}
        for part in SPLITS[1:]:
            rows = faces.rows(part)
            scored = rows[codes[faces.labels[rows]] >= 0]
            if len(scored) and (classes[scored] >= 0).all():
                result = scoring.score_set(predictions, faces.labels, scored, faces.emotions)
                lines.append({
                    "data": name,
                    "part": part,
                    "left_out": len(rows) - len(scored),
                    "n": result["n"],
                    "other_answers": int((predictions["classes"][scored] == len(faces.emotions)).sum()),
                    **{key: result[key] for key in ("accuracy", "interval", "balanced_accuracy")},
                    "recall": {emotion: of["recall"] for emotion, of in result["recall"].items()},
                })  # fmt: skip
    if not lines:
        expected = "a prediction for each row of PublicTest or PrivateTest"
        raise refused(network, "no part predicted whole", expected, "add them")
    return {"network": network, "outputs": list(known), "rows": lines}


def markdown(result: dict) -> str:
    """The result of ``score`` as a Markdown table that is readable in a terminal, with remarks."""
    lines = [
        {
            "Data": row["data"],
            "Part": row["part"],
            "Rows": f"{row['n']:,}",
            "Left out": f"{row['left_out']:,}",
            **scoring.accuracy_columns(row),
            **{f"{emotion}, %": f"{100 * recall:.2f}" for emotion, recall in row["recall"].items()},
        }
        for row in result["rows"]
    ]
    columns = dict.fromkeys(key for line in lines for key in line)
    lines = [{key: line.get(key, "–") for key in columns} for line in lines]
    text = f"{result['network']}, its outputs read as {', '.join(result['outputs'])}. The last columns are recalls."
    if others := sum(row["other_answers"] for row in result["rows"]):
        text += f" {others:,} predictions were emotions that the data does not have; they count as wrong."
    return f"{table(lines, padded=True)}\n{text} It is not known which rows it was trained on.\n"


OTHERS = {
    ".h5": "a file of Keras 2", ".hdf5": "a file of Keras 2", ".onnx": "an ONNX network", ".tflite": "a LiteRT network",
    ".pt": "a file of PyTorch", ".pth": "a file of PyTorch", ".pb": "a file of TensorFlow",
    ".caffemodel": "a file of Caffe", ".mat": "a file of MATLAB",
}  # fmt: skip
"""Networks that are not read, by the file's ending."""


def _is_model(path: Path) -> bool:
    """Whether a file is a network, else a file of predictions. Raises ValueError for a network of another form."""
    if path.suffix.lower() == ".keras":
        return True
    found = OTHERS.get(path.suffix.lower(), "") if path.exists() else ""
    if path.is_dir():
        found = "a SavedModel" if (path / "saved_model.pb").exists() else "a folder"
    if found:
        then = "load it where it was made, as by keras.saving.load_model, and save it so; or give its predictions"
        raise refused(path, found, "a .keras file, which model.save of Keras 3 writes", then)
    return False


def _model(path: Path, outputs: str):
    if not path.is_file():
        found = paths.kind(path) if os.path.lexists(path) else "no such file"
        raise FileNotFoundError(f"{path}: found {found}, expected a network saved by Keras 3; correct the path")
    with open(path, "rb") as file:
        head = file.read(4)
        if not zipfile.is_zipfile(file):
            found = {b"": "an empty file", b"\x89HDF": "a file of Keras 2"}.get(
                head, "no ZIP archive, or a part of one"
            )
            raise refused(path, found, "a .keras file, which model.save of Keras 3 writes", "save or copy it again")
        excess = ""
        with suppress(Exception), zipfile.ZipFile(file) as archive:  # what else is wrong with it, Keras tells
            excess = archives.zip_excess(archive)
        if excess:
            raise refused(path, excess, f"at most {archives.TIMES} times as many", "save or copy it again")
    import keras

    from .. import models
    from ..models import pretrained  # noqa: F401 (a file may name a layer of ours, which importing it registers)

    with tempfile.TemporaryDirectory() as folder:  # Keras takes no .KERAS
        named = Path(folder) / "network.keras"
        named.symlink_to(path.absolute())
        try:
            model = keras.saving.load_model(named, compile=False, safe_mode=True)
            inputs, outputs_shape = tuple(model.input_shape), tuple(model.output_shape)
        except Exception as error:  # zip, JSON and HDF5 are in it, and layers are built of it
            told = str(error).replace(str(named), str(path)) or error
            found = f"what Keras cannot load in safe mode ({reason(told)})"
            raise refused(path, found, "a .keras file of layers that Keras knows", "save it by model.save()") from error
    models.check_finite(model, path, "train it again: it would predict one emotion for every face")
    count = len(LABEL_SETS[outputs])
    if len(inputs) != 4 or inputs[1] != inputs[2] or not inputs[1] or inputs[3] not in (1, 3):
        expected = "(None, side, side, 1 or 3)"
        raise refused(path, f"an input of {inputs}", expected, "wrap it in a network that takes these")
    if outputs_shape[1:] != (count,):
        then = f"say outputs, one of {', '.join(LABEL_SETS)}"
        raise refused(path, f"an output of {outputs_shape}", f"(None, {count})", then)
    return model


def _faces(name: str, model) -> Faces:
    """A data set; AffectNet in the size and colours that the network needs, the others as they are."""
    if model is None or not name.startswith("affectnet") or tuple(model.input_shape[1:]) == (SIDE, SIDE, 1):
        return data.load_faces(name)
    _, side, _, channels = model.input_shape
    tests = "official" if name == "affectnet_official" else "carved"
    return affectnet.load(side=side, colour=channels == 3, tests=tests)


def _classes(model, place: str, faces: Faces, input_scale: str) -> np.ndarray:
    """The predicted classes of the test rows, (n,) int16, -1 elsewhere. Raises ValueError naming the network's file,
    ``place``, if it cannot be run or predicts what is not finite."""
    classes, rows = np.full(len(faces), -1, np.int16), faces.rows("+".join(SPLITS[1:]))
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        inputs = fitted(faces.images[some], model.input_shape[1], model.input_shape[3])
        try:
            values = np.asarray(model.predict_on_batch(inputs / np.float32(DIVISORS[input_scale])))
        except Exception as error:  # the engine's own
            found = f"a network that cannot be run ({reason(error)})"
            raise refused(place, found, "one that predicts faces", "see whether Keras itself can") from error
        arrays.check_finite(values, place, "say --input-scale as in training, or train it again")
        classes[some] = values.argmax(axis=1)
    return classes


def fitted(images: np.ndarray, side: int, channels: int) -> np.ndarray:
    """(b, s, s) or (b, s, s, 3) uint8 as (b, side, side, channels) float32 of 0 to 255: resized if the side differs;
    grey is repeated for three channels, colour becomes grey for one."""
    if images.shape[1] != side:
        how = cv2.INTER_AREA if images.shape[1] > side else cv2.INTER_CUBIC
        images = np.stack([cv2.resize(image, (side, side), interpolation=how) for image in images])
    if images.ndim == 4 and channels == 1:
        images = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])
    if images.ndim == 3:
        images = np.repeat(images[..., None], channels, axis=-1)
    return images.astype(np.float32)
