"""What the networks are made of, layer by layer, as Keras builds them: shapes, weights, operations.

``results/architectures.json`` keeps what was read off the models, so that a report need not wait for Keras and its
engine; it is written anew when the builders change, or when a run has a network that it lacks.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

from .. import paths

PAPERS = {"feedforward": "Feed-forward network", "simple_cnn": "Simple CNN", "proposed_cnn": "Proposed CNN",
          "eleven_layers": "Eleven-layer network"}  # fmt: skip
"""The networks of both papers by the name of their builder, as a reader calls them."""

UNCOUNTED = ("BatchNormalization",)
"""Layers with weights whose operations are too few to count: some for each value that passes through."""


def layers(model) -> list[dict]:
    """A Keras model's layers in order: kind, details (in words), shape (of the output, rows left out), parameters, and
    multiply_adds (of one image, forward).

    Exact for dense layers and convolutions, positions on the padding included; biases, activations, pooling, dropout
    and normalisation count nothing. Raises ValueError for other layers with weights.
    """
    found = []
    for layer in model.layers:
        kind, multiply_adds = type(layer).__name__, 0
        if kind in ("Conv2D", "Dense"):
            positions = math.prod(layer.output.shape[1:-1])  # 1 for a dense layer
            multiply_adds = positions * math.prod(layer.kernel.shape)
        elif layer.weights and kind not in UNCOUNTED:
            raise ValueError(f"{layer.name}: found a {kind}, expected Conv2D or Dense")
        found.append({
            "kind": kind,
            "details": _details(kind, layer.get_config()),
            "shape": list(layer.output.shape[1:]),
            "parameters": layer.count_params(),
            "multiply_adds": multiply_adds,
        })  # fmt: skip
    return found


def _details(kind: str, config: dict) -> str:
    """What a layer's maker has to know of it: "3×3, same, ReLU", "0.25"."""
    side = config.get("kernel_size") or config.get("pool_size") or ()
    said = ["×".join(map(str, side))]
    if kind == "Conv2D":
        said.append(config["padding"])
        said += [f"strides {config['strides'][0]}"] if config["strides"][0] > 1 else []
        said += [f"{config['groups']} groups"] if config["groups"] > 1 else []
    if kind == "Dropout":
        said.append(f"{config['rate']:g}")
    if config.get("activation") not in (None, "linear"):
        said.append({"relu": "ReLU"}.get(config["activation"], config["activation"]))
    return ", ".join(filter(None, said))


def training_flop(found: list[dict]) -> int:
    """Floating-point operations of training on one image, by a model's ``layers``; a multiply-add counts as two.

    Once forward, once for the gradient of the weights, and once for that of the input, which the first layer with
    weights does not need. The loss and the optimiser are left out.
    """
    working = [layer["multiply_adds"] for layer in found if layer["multiply_adds"]]
    return 2 * (3 * sum(working) - working[0]) if working else 0


def key(name: str, options: dict | None = None) -> str:
    """How a builder with these arguments is called in the file: "eleven_layers(width=64)", or just its name."""
    given = ", ".join(f"{option}={value}" for option, value in sorted((options or {}).items()))
    return f"{name}({given})" if given else name


def load(found: list[dict]) -> dict[str, list[dict]]:
    """The ``layers`` of both papers' networks and of those that records are of, by ``key``.

    They are read from ``results/architectures.json``. Where that lacks one, or the builders have changed since, Keras
    builds what is needed and the file is written anew; or, for records of other profiles than full, which git ignores
    too, one below ``results/local``. A network whose builder is gone is left out.
    """
    sources = _sources()
    is_full = all(record["profile"] == "full" for record in found)
    path = (paths.RESULTS if is_full else paths.RESULTS / "local") / "architectures.json"
    kept = _kept(path, sources)
    known = _kept(paths.RESULTS / "architectures.json", sources) | kept
    wanted = {name: (name, {}) for name in PAPERS}
    for record in found:
        if name := record["parameters"].get("model"):
            options = record["parameters"].get("model_options")
            wanted[key(name, options)] = (name, options)
    missing = {name: of for name, of in wanted.items() if name not in known}
    if missing:
        import keras  # here, since it and its engine take longer than all the rest

        from .. import models

        made = {}
        for name, (builder, options) in missing.items():
            try:
                with keras.StatelessScope(initialize_variables=False):  # shapes are asked for: no weight is drawn
                    made[name] = layers(models.build(builder, options))
            except ValueError:  # a record may be older than the builders
                continue
        keras.utils.clear_session()  # forgets the weights that were never drawn
        if made:
            known = known | made
            kept = kept | made
            path.parent.mkdir(parents=True, exist_ok=True)
            paths.replace_text(path, to_json(sources, kept))
    return {name: known[name] for name in wanted if name in known}


def _kept(path: Path, sources: str) -> dict[str, list[dict]]:
    content = json.loads(path.read_text()) if path.exists() else {}
    return content.get("architectures", {}) if content.get("sources") == sources else {}


def to_json(sources: str, known: dict[str, list[dict]]) -> str:
    """The file's text: a line for each layer."""
    parts = []
    for name, found in sorted(known.items()):
        lines = ",\n".join(f"   {json.dumps(layer, ensure_ascii=False)}" for layer in found)
        parts.append(f"  {json.dumps(name)}: [\n{lines}\n  ]")
    listed = ",\n".join(parts)
    return f'{{\n "sources": "{sources}",\n "architectures": {{\n{listed}\n }}\n}}\n'


def _sources() -> str:
    """SHA-256 of the builders."""
    texts = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"\n".join(texts)).hexdigest()
