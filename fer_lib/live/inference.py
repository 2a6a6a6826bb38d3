"""Runs the live model of this package, or another, with ONNX Runtime or LiteRT: faces in, probabilities out."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..data.emotions import FER2013
from ..files import arrays, documents, reason, refused, rehearsal

THEN = "`make live-model` writes such a file"

MODEL = Path(__file__).with_name("model.onnx")
"""The live model. ``model.json`` next to it has its checksum, and how it was made and scored."""


class Classifier:
    """A network that classifies faces by their emotion; ``load`` makes one.

    ``emotions`` are the seven of FER2013 in the order of its codes, ``side`` the faces' width and height in pixels.
    """

    emotions = FER2013
    side = 48

    def __init__(self, run: Callable[[np.ndarray], np.ndarray], file: Path):
        self._run, self._file = run, file

    def classify(self, faces: np.ndarray) -> np.ndarray:
        """Probabilities of the emotions, (k, 7) float32, calibrated if the file is: each row sums to 1.

        ``faces``: (k, 48, 48) uint8, grey, 0 black to 255 white, k of 0 or more. Raises TypeError for another dtype,
        ValueError for another shape, and ValueError naming the file if the network cannot be run, or predicts what is
        not finite.
        """
        if not isinstance(faces, np.ndarray) or faces.dtype != np.uint8:
            found = getattr(faces, "dtype", type(faces).__name__)
            raise TypeError(f"faces: found {found}, expected an array of uint8, grey levels of 0 to 255")
        if faces.shape[1:] != (self.side, self.side):
            raise ValueError(f"faces: found shape {faces.shape}, expected (k, {self.side}, {self.side}); resize them")
        if not len(faces):
            return np.zeros((0, len(self.emotions)), np.float32)
        try:
            probabilities = self._run(faces)
        except Exception as error:  # the runtimes' errors have no base class of their own
            found = f"a network that cannot be run ({reason(error)})"
            raise refused(self._file, found, "one that can", THEN) from error
        arrays.check_finite(probabilities, self._file, f"its weights are damaged; {THEN}")
        return probabilities


def load(path: Path | None = None) -> Classifier:
    """The network in a file: ONNX (``.onnx``), or LiteRT (``.tflite``) if ``ai-edge-litert`` is installed.

    Without a path it is the live model, whose SHA-256 must match ``model.json``. Raises FileNotFoundError if there is
    no file, ValueError if it is no such network or has another checksum.
    """
    file = Path(path or MODEL)
    if not file.is_file():
        how = "give the path of one" if path else "`make live-model` trains and writes it"
        raise FileNotFoundError(f"{file}: found no such file, expected a network as `make live-model` writes it; {how}")
    content = file.read_bytes()
    if not path:
        about = documents.read_json(MODEL.with_suffix(".json"), then="restore it from git")
        expected = about.get("sha256") if isinstance(about, dict) else None
        found = hashlib.sha256(content).hexdigest()
        if found != expected:
            raise refused(file, f"SHA-256 {found}", f"{expected}, as in model.json", "restore it from git")
    ending = file.suffix.lower()
    if ending not in (".onnx", ".tflite"):
        raise refused(file, f"a {ending or 'nameless'} file", ".onnx or .tflite", "name it so if it is one")
    return Classifier((_onnx if ending == ".onnx" else _litert)(file, content), file)


def _onnx(file: Path, content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors are raised
    # Threads that spin between two faces take processor time from the detector.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        ends = [*session.get_inputs(), *session.get_outputs()[:1]]
        emotions = session.get_modelmeta().custom_metadata_map.get("emotions", "none")
        found, (input_, output) = [(end.type, *end.shape[1:]) for end in ends], [end.name for end in ends]  # all UTF-8
    except Exception as error:  # ONNX Runtime's errors have no base class of their own
        raise refused(file, f"no network that ONNX Runtime reads ({reason(error)})", "one", THEN) from error
    if found != [("tensor(uint8)", 48, 48), ("tensor(float)", len(FER2013))]:
        raise refused(file, f"{found}", f"(k, 48, 48) uint8 in and (k, {len(FER2013)}) float32 out", THEN)
    if emotions != ",".join(FER2013):  # outputs in another order are a classic silent bug
        raise refused(file, f"the emotions {emotions} in its metadata", ",".join(FER2013), THEN)
    return lambda faces: session.run([output], {input_: faces})[0]


REHEARSAL = """
import sys
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
interpreter.get_input_details(), interpreter.get_output_details()
interpreter.invoke()
"""
"""LiteRT crashes on some damaged networks."""


def _litert(file: Path, content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        found, expected = "no LiteRT, which is not installed", "it, to read this file"
        raise refused(file, found, expected, "pip install ai-edge-litert") from error

    if not rehearsal.survives(REHEARSAL, file):
        raise refused(file, "damage that crashes LiteRT, or never lets it end", "a whole network", THEN)
    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
        ends = [*interpreter.get_input_details(), *interpreter.get_output_details()[:1]]
    except (ValueError, RuntimeError) as error:
        raise refused(file, f"no network that LiteRT reads ({reason(error)})", "one", THEN) from error
    found = [(np.dtype(end["dtype"]).name, *end["shape"].tolist()) for end in ends]
    if found != [("float32", 1, 48, 48, 1), ("float32", 1, len(FER2013))]:
        raise refused(file, f"{found}", f"(1, 48, 48, 1) float32 in and (1, {len(FER2013)}) float32 out", THEN)
    input_, output = ends

    def run(faces: np.ndarray) -> np.ndarray:
        probabilities = np.empty((len(faces), len(FER2013)), np.float32)
        for place, face in enumerate(faces.astype(np.float32)):
            # In 8 bits a picture's mean and deviation would be too coarse, so they are computed here.
            face = face - face.mean()
            interpreter.set_tensor(input_["index"], (face / np.sqrt((face**2).mean() + 1))[None, :, :, None])
            interpreter.invoke()
            probabilities[place] = interpreter.get_tensor(output["index"])[0]
        return probabilities / probabilities.sum(axis=1, keepdims=True)  # they are multiples of 1/256

    return run
