"""What all benches share: reading options, printing the table and keeping the figures; if they are to be committed,
also writing the table into ``docs/benchmarks.md``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import measure

from fer_lib import paths
from fer_lib.evaluation import provenance, records
from fer_lib.files import writing
from fer_lib.report import parts


def facts() -> dict:
    """When, on what and with which code: the first figures of every bench."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": records.cpu() | {"cores": os.cpu_count()},
        "load_average": [round(os.getloadavg()[0], 1)],
        "code": provenance.code(),
    }


def main(
    name: str,
    description: str,
    measured: Callable[..., dict],
    table: Callable[[dict], str],
    counts: dict[str, tuple[int, int, str]],
    arguments: list[str] | None,
) -> int:
    """The command of a bench: read its options, measure, ``finish``. Returns 1 where measuring ended in an error.

    ``counts`` are its numeric options: default, minimum, help. ``measured(scratch, **counts)`` returns the figures that
    come after ``facts``; ``scratch`` is a temporary folder.
    """
    parser = argparse.ArgumentParser(
        prog=f"{name}.py",
        description=f"{description} Prints a table and keeps the figures in results/local/{name}.json.",
    )
    for option, (default, _, what) in counts.items():
        parser.add_argument(f"--{option}", type=int, default=default, help=f"{what} (default: {default:,})")
    parser.add_argument(
        "--keep",
        action="store_true",
        help=f"keep the figures in bench/{name}.json and the table in docs/benchmarks.md instead, to commit",
    )
    options = vars(parser.parse_args(arguments))
    commit = options.pop("keep")
    for option, (_, least, _) in counts.items():
        if options[option] < least:
            parser.error(f"--{option}: found {options[option]}, expected {least} or more")
    os.environ["TQDM_DISABLE"] = "1"  # the lines of the turns show the progress
    figures = facts()
    try:
        with tempfile.TemporaryDirectory(prefix=f"fer-{name}-") as scratch:
            figures |= measured(Path(scratch), **options)
        finish(name, figures, table, commit)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def kept(name: str, commit: bool) -> Path:
    """The file that keeps a bench's figures: ``bench/<name>.json`` to commit, or one that git ignores."""
    return (paths.ROOT / "bench" if commit else paths.RESULTS / "local") / f"{name}.json"


def finish(name: str, figures: dict, table: Callable[[dict], str], commit: bool) -> None:
    """Print the figures' table and keep them in ``kept``; to commit them, write the table into docs/benchmarks.md.

    ``table`` turns the figures into Markdown; the load average at the end is added here.
    """
    figures["load_average"].append(round(os.getloadavg()[0], 1))
    measure.say("\n" + table(figures))
    path = kept(name, commit)
    path.parent.mkdir(parents=True, exist_ok=True)
    writing.replace_text(path, json.dumps(figures, indent=1) + "\n")
    if commit:
        parts.put(parts.BENCHMARKS, f"bench/{name}.py", table(figures))
    measure.say(f"Kept in {path.relative_to(paths.ROOT)}")


def line(
    what: str, values: dict, form: str, goal: str = "", met: Callable[[float], bool] | None = None, by: str = "median"
) -> str:
    """A row of a table: the median of some values, the smallest and the largest; one of these meets or misses a
    goal."""
    if met is not None:
        goal += ": met" if met(values[by]) else ": missed"
    low, middle, high = (format(values[name], form) for name in ("min", "median", "max"))
    return f"| {what} | {middle} | {low} | {high} | {goal} |"


def between(values: dict, form: str) -> str:
    """A cell of a table: the median of some values, and in brackets the smallest and the largest."""
    low, middle, high = (
        f"{values[name]:,.0f}" if values[name] >= 1000 else format(values[name], form)
        for name in ("min", "median", "max")
    )
    return f"{middle} [{low}, {high}]"


def conditions(figures: dict) -> str:
    """When, on what and under what load the figures were measured."""
    before, after = figures["load_average"]
    machine = figures["machine"]
    return (
        f"Measured {figures['date']} on {machine['name']}, {machine['cores']} cores, load average {before} before and "
        f"{after} after; "
    )


HEAD = ("| what | median | min | max | goal |", "|---|--:|--:|--:|---|")
