"""What runs cost: time, memory, and operations, which are computed from the layers of what was trained."""

from __future__ import annotations

from ..evaluation import pooled
from ..models import architectures


def of_groups(found: list[dict], experiments: dict[str, dict], known: dict[str, list[dict]]) -> list[dict]:
    """What each group of runs cost, sweeps and surveys among them; those left out that are read off other runs.

    Keys: experiment, title, computed_by, device, runs, epochs, seconds (all added up), memory (bytes, the peak of the
    hungriest run), flop (of all runs' training, by ``training_flop``; None where it is not known). ``known``:
    ``architectures.load``'s.
    """
    lines = []
    groups = pooled.groups(found, {n: e for n, e in experiments.items() if "milestone_of" not in e})
    unscored = [[record] for record in found if not record["metrics"]]
    for group in [*groups, *unscored]:
        flop = [training_flop(record, known) for record in group]
        lines.append({
            "experiment": group[0]["experiment"],
            "title": group[0]["title"],
            "computed_by": pooled.computed_by(group),
            "device": ", ".join(dict.fromkeys(record["device"]["name"] for record in group)),
            "runs": len(group),
            "epochs": sum(len(record["history"]) for record in group),
            "seconds": sum(record["seconds"] for record in group),
            "memory": max(record["peak_memory_bytes"] for record in group),
            "flop": None if None in flop else sum(flop),
        })  # fmt: skip
    return lines


def training_flop(record: dict, known: dict[str, list[dict]]) -> int | None:
    """Floating-point operations of a network's training: its layers', for each training row in each epoch.

    Predicting the test rows after each epoch is left out. Rows that a run leaves out of Training for their image or
    their emotion are counted as if they were there. None for a network whose layers are not known, a tree, a sweep and
    a survey.
    """
    parameters = record["parameters"]
    if not record["metrics"]:
        return None
    layers = known.get(architectures.key(parameters.get("model", ""), parameters.get("model_options")))
    if not layers:
        return None
    names = parameters.get("train_rows", "Training").split("+")
    rows = sum(count for split, count in record["data"]["rows"].items() if any(n.startswith(split) for n in names))
    return architectures.training_flop(layers) * min(rows, parameters.get("rows") or rows) * len(record["history"])
