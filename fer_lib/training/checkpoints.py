"""The state of a training run between two epochs, on disk: complete or absent, and read by no other run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np

from .. import system
from ..files import arrays, documents, reason, refused, writing
from .protocol import Protocol


def save(folder: Path, model: keras.Model, logits: dict[str, np.ndarray], facts: dict) -> None:
    """Keep the state after epoch ``len(facts["history"])``, then drop the one before.

    ``logits`` are named arrays, ``facts`` whatever JSON holds. Written beside the old state and renamed when complete,
    so that a kill at any moment leaves one whole state. The checksums of the other files are among its facts, and that
    of the facts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial, kept = folder / "checkpoint.partial", folder / f"checkpoint-{len(facts['history']):04d}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    model.save_weights(partial / "model.weights.h5")  # the optimiser's state too
    np.savez(partial / "logits.npz", **logits)
    sums = {path.name: system.file_hash(path) for path in partial.iterdir()} | {STATE: _hash(facts)}
    writing.replace_text(partial / STATE, json.dumps(facts | {"sha256": sums}))
    shutil.rmtree(kept, ignore_errors=True)  # of other parameters
    os.replace(partial, kept)
    for old in folder.glob("checkpoint-*"):
        if old != kept:
            shutil.rmtree(old, ignore_errors=True)


STATE = "state.json"


def _hash(facts: dict) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def restore(
    folder: Path, model: keras.Model, identity: dict, begin: Callable[[int], None]
) -> tuple[dict[str, np.ndarray], dict] | None:
    """Load the newest state whose facts bear this ``identity`` into a model; returns its logits and facts.

    ``begin`` compiles the model as it was for an epoch, counted from 1: here for the last one that was trained.

    None where there is none: a state of other parameters, data, seed or backend is left alone. A state from before a
    field of the protocol existed did what the field's default does. One that is damaged is told and passed over: the
    next older one is taken, else the run begins anew, with the weights that the model had.
    """
    fresh = model.get_weights()
    for kept in sorted(folder.glob("checkpoint-*"), reverse=True):
        try:
            facts, logits = _read(kept, identity)
            if facts is None:
                continue
            begin(len(facts["history"]))
            model.optimizer.build(model.trainable_variables)
            model.load_weights(kept / "model.weights.h5")
            return logits, facts
        except Exception as error:  # HDF5 and Keras raise all sorts
            print(f"{kept.name} cannot be used, and is passed over: {reason(error)}", flush=True)
            begin(1)
            model.set_weights(fresh)
    return None


def _read(kept: Path, identity: dict) -> tuple[dict | None, dict[str, np.ndarray]]:
    """A state's facts and logits; (None, {}) if it bears another identity. Raises ValueError if it is damaged, OSError
    if a file is not there."""
    place, then = kept / STATE, "the run goes on without it"
    facts = documents.read_json(place, then=then)
    kinds = {"identity": dict, "history": list, "best_epoch": int, "seconds": float, "sha256": dict}
    documents.check_keys(facts, place, kinds, ("identity", "history", "best_epoch", "seconds"), then)
    saved = facts["identity"]
    if not isinstance(saved.get("protocol"), dict):
        raise refused(place, "no protocol", "one", then)
    if saved | {"protocol": asdict(Protocol()) | saved["protocol"]} != identity:
        return None, {}
    own = _hash({name: value for name, value in facts.items() if name != "sha256"})
    for name, expected in facts.get("sha256", {}).items():  # states from before have none, or not that of the facts
        if (found := own if name == STATE else system.file_hash(kept / name)) != expected:
            raise refused(kept / name, f"SHA-256 {found}", str(expected), then)
    return facts, arrays.read_npz(kept / "logits.npz", kept / "logits.npz", "the logits of its epochs", then)
