"""The networks layer by layer, as Keras builds them: shapes, weights, operations.

``results/architectures.json`` keeps what was read off the models, so that a report need not wait for Keras and its
backend. It is rewritten when the builders change, or when a run has a network that it lacks.
"""

import contextlib
import hashlib
import json
import math
from pathlib import Path

from .. import paths
from ..files import documents, writing

PAPERS = {"feedforward": "Feed-forward network", "simple_cnn": "Simple CNN", "proposed_cnn": "Proposed CNN",
          "eleven_layers": "Eleven-layer network"}  # fmt: skip
"""Readable names of both papers' networks, by the name of their builder."""


def layers(model) -> list[dict]:
    """A Keras model's layers in order: kind, details (in words), shape (of the output, without the batch), parameters,
    and multiply_adds (for one image, forward).

    Exact for dense layers and convolutions, including positions on the padding. Biases, activations, pooling, dropout
    and normalisation are not counted. Raises ValueError for other layers with weights.
    """
    described = []
    for layer in model.layers:
        kind, multiply_adds = type(layer).__name__, 0
        if kind in ("Conv2D", "Dense"):
            positions = math.prod(layer.output.shape[1:-1])  # 1 for a dense layer
            multiply_adds = positions * math.prod(layer.kernel.shape)
        elif layer.weights and kind != "BatchNormalization":  # a few for each value that passes: not counted
            raise ValueError(f"{layer.name}: found a {kind}, expected Conv2D or Dense")
        described.append({
            "kind": kind,
            "details": _details(kind, layer.get_config()),
            "shape": list(layer.output.shape[1:]),
            "parameters": layer.count_params(),
            "multiply_adds": multiply_adds,
        })  # fmt: skip
    return described


def _details(kind: str, config: dict) -> str:
    """A layer's settings in words: "3×3, same, ReLU", "0.25"."""
    side = config.get("kernel_size") or config.get("pool_size") or ()
    details = ["×".join(map(str, (side, side) if isinstance(side, int) else side))]
    if kind == "Conv2D":
        details.append(config["padding"])
        details += [f"strides {config['strides'][0]}"] if config["strides"][0] > 1 else []
        details += [f"{config['groups']} groups"] if config["groups"] > 1 else []
    if kind == "Dropout":
        details.append(f"{config['rate']:g}")
    if config.get("activation") not in (None, "linear"):
        details.append({"relu": "ReLU"}.get(config["activation"], config["activation"]))
    return ", ".join(filter(None, details))


def training_flop(network: list[dict]) -> int:
    """Floating-point operations of training on one image, by a model's ``layers``; a multiply-add counts as two.

    Counted once forward, once for the gradient of the weights, and once for that of the input, which the first layer
    with weights does not need. Loss and optimiser are not counted.
    """
    counts = [layer["multiply_adds"] for layer in network if layer["multiply_adds"]]
    return 2 * (3 * sum(counts) - counts[0]) if counts else 0


def key(name: str, options: dict | None = None) -> str:
    """The name in the file of a builder with these arguments: "eleven_layers(width=64)", or just its name."""
    arguments = ", ".join(f"{option}={value}" for option, value in sorted((options or {}).items()))
    return f"{name}({arguments})" if arguments else name


def load(all_records: list[dict], also: list[dict] = ()) -> dict[str, list[dict]]:
    """The ``layers`` of both papers' networks and of the records' networks, by ``key``. ``also``: parameters of
    experiments whose networks are wanted too.

    They are read from ``results/architectures.json``. If that lacks one, or the builders have changed since, Keras
    builds what is needed and the file is rewritten; for records of other profiles than full, which git ignores, the
    file is below ``results/local``. A network whose builder is gone is left out.
    """
    sources = _sources()
    is_full = all(record["profile"] == "full" for record in all_records)
    path = (paths.RESULTS if is_full else paths.RESULTS / "local") / "architectures.json"
    kept = _kept(path, sources)
    known = _kept(paths.RESULTS / "architectures.json", sources) | kept
    wanted = {name: (name, {}) for name in PAPERS}
    for parameters in [*(record["parameters"] for record in all_records), *also]:
        if name := parameters.get("model"):
            options = parameters.get("model_options")
            wanted[key(name, options)] = (name, options)
    if missing := {name: of for name, of in wanted.items() if name not in known}:
        built = _built(missing)
        known |= built
        if built:
            path.parent.mkdir(parents=True, exist_ok=True)
            writing.replace_text(path, _to_json(sources, kept | built))
    return {name: known[name] for name in wanted if name in known}


def _built(networks: dict[str, tuple[str, dict | None]]) -> dict[str, list[dict]]:
    """The ``layers`` of networks by name and options, built for this; those without a builder are left out."""
    import keras  # here, since it and its backend take longer than all the rest

    from .. import models

    built = {}
    for name, (builder, options) in networks.items():
        with contextlib.suppress(ValueError), keras.StatelessScope(initialize_variables=False):  # no weight is sampled
            built[name] = layers(models.build(builder, options))  # a ValueError: a record older than the builders
    keras.utils.clear_session()  # forgets the weights that were never sampled
    return built


def _kept(path: Path, sources: str) -> dict[str, list[dict]]:
    try:
        content = documents.read_json(path)
    except (FileNotFoundError, ValueError):  # none yet, or a damaged one, which is written again
        return {}
    kept = content.get("architectures") if isinstance(content, dict) and content.get("sources") == sources else None
    whole = isinstance(kept, dict) and all(isinstance(each, list) for each in kept.values())
    return kept if whole and all(isinstance(layer, dict) for each in kept.values() for layer in each) else {}


def _to_json(sources: str, networks: dict[str, list[dict]]) -> str:
    """The file's text: a line for each layer."""
    parts = []
    for name, network in sorted(networks.items()):
        lines = ",\n".join(f"   {json.dumps(layer, ensure_ascii=False)}" for layer in network)
        parts.append(f"  {json.dumps(name)}: [\n{lines}\n  ]")
    listed = ",\n".join(parts)
    return f'{{\n "sources": "{sources}",\n "architectures": {{\n{listed}\n }}\n}}\n'


def _sources() -> str:
    """SHA-256 of the builders' source files."""
    texts = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"\n".join(texts)).hexdigest()
