"""``python -m fer_lib``: one verb a capability."""

import argparse
import json
import os
import sys
from pathlib import Path

from . import paths, runs
from .datasets import kaggle


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fer_lib", description="Reproduce the experiments of the papers.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = verbs.add_parser("reproduce", help="make every run that is missing, then the report")
    verb.add_argument("--profile", default="", choices=["", *runs.PROFILES], help="default: by the data that is here")
    verb.add_argument("--seeds", type=int, help="seeds of each experiment")
    verb.add_argument("--only", default="", help="comma-separated parts of experiments' names")
    verb.add_argument("--force", action="store_true", help="repeat runs that have a current record")
    verb.add_argument("--jobs", type=int, default=0, help="CPU cores to use (default: all)")
    verb = verbs.add_parser("run", help="make one run")
    verb.add_argument("experiment", help="for example saravanan2019/table1_feedforward")
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--profile", default="full", choices=runs.PROFILES)
    verb = verbs.add_parser("report", help="make the report of the runs that are there")
    verb.add_argument("--profile", default="full", choices=runs.PROFILES)
    verbs.add_parser("data", help="fetch FER2013 from Kaggle into data/, or say how to get it")
    verbs.add_parser("audit", help="list FER2013's duplicates, leaked rows, conflicting labels and flat images")
    verb = verbs.add_parser("score", help="score the answers of any network on FER2013's test sets; compare two")
    verb.add_argument("answers", nargs="+", help="a CSV file, or a record's predictions.npz (see the README)")
    verb.add_argument("--json", metavar="FILE", help="write the figures to this file too")
    options = parser.parse_args(arguments)
    try:
        if options.verb == "data":
            return kaggle.fetch()
        if options.verb == "reproduce":
            return runs.reproduce(options.profile, options.seeds, options.only, options.force, options.jobs)
        if options.verb == "run":
            folder = runs.execute(options.experiment, options.seed, options.profile)
            print(f"{options.experiment} seed {options.seed}: done, see {folder.relative_to(paths.ROOT)}")
        elif options.verb == "audit":
            audit()
        elif options.verb == "score":
            score(options.answers, options.json)
        else:
            print(runs.report(options.profile).relative_to(paths.ROOT))
        return 0
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def audit() -> None:
    from . import audit, datasets, tables
    from .datasets import fer2013

    faces = fer2013.load()
    folder = audit.folder(faces)
    audit.write(faces, folder)
    print(f"{datasets.banner(faces)}\n\n{tables.audit(audit.summary(faces), padded=True)}")
    print(f"The rows are listed in {folder.relative_to(paths.ROOT)}/")


def score(files: list[str], into: str | None) -> None:
    from . import datasets, scoring, tables
    from .datasets import fer2013

    if len(files) > 2:
        raise ValueError(f"score: found {len(files)} files, expected one, or two to compare; score them in turn")
    faces = fer2013.load()
    report = scoring.report(files, faces)
    print(f"{datasets.banner(faces)}\n\n{tables.scores(report)}")
    if into:
        partial = Path(f"{into}.partial")
        partial.write_text(json.dumps(report, indent=1) + "\n")
        os.replace(partial, into)


if __name__ == "__main__":
    sys.exit(main())
