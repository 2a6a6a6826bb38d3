"""The state of a training run between two epochs, on disk: complete or absent, and read by no other run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np

from .protocol import Protocol


def save(folder: Path, model: keras.Model, logits: dict[str, np.ndarray], facts: dict) -> None:
    """Keep the state after epoch ``len(facts["history"])``, then drop the one before.

    ``logits`` are named arrays, ``facts`` whatever JSON holds. Written beside the old state and renamed when complete,
    so that a kill at any moment leaves one whole state.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial, kept = folder / "checkpoint.partial", folder / f"checkpoint-{len(facts['history']):04d}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    model.save_weights(partial / "model.weights.h5")  # the optimiser's state too
    np.savez(partial / "logits.npz", **logits)
    (partial / "state.json").write_text(json.dumps(facts))
    shutil.rmtree(kept, ignore_errors=True)  # of other parameters
    os.replace(partial, kept)
    for old in folder.glob("checkpoint-*"):
        if old != kept:
            shutil.rmtree(old, ignore_errors=True)


def restore(
    folder: Path, model: keras.Model, identity: dict, begin: Callable[[int], None]
) -> tuple[dict[str, np.ndarray], dict] | None:
    """Load the newest state whose facts bear this ``identity`` into a model; returns its logits and facts.

    ``begin`` compiles the model as it was for an epoch, counted from 1: here for the last one that was trained.

    None where there is none: a state of other parameters, data, seed or backend is left alone. A state from before a
    field of the protocol existed did what the field's default does.
    """
    defaults = asdict(Protocol())
    for kept in sorted(folder.glob("checkpoint-*"), reverse=True):
        facts = json.loads((kept / "state.json").read_text())
        saved = facts["identity"]
        if saved | {"protocol": defaults | saved["protocol"]} == identity:
            begin(len(facts["history"]))
            model.optimizer.build(model.trainable_variables)
            model.load_weights(kept / "model.weights.h5")
            with np.load(kept / "logits.npz", allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}, facts
    return None
