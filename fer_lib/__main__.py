"""``python -m fer_lib``: one verb a capability."""

import argparse
import json
import sys
from pathlib import Path

from . import paths


def add_choice(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--seeds", type=int, help="seeds of each experiment")
    verb.add_argument("--only", default="", help="comma-separated parts of experiments' names")
    verb.add_argument("--force", action="store_true", help="repeat runs that have a current record")


def add_parent(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--parent", type=int, metavar="PID", help="end when this process, which started it, has ended")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fer_lib", description="Reproduce the experiments of the papers.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = verbs.add_parser("reproduce", help="make every run that is missing, then the report")
    verb.add_argument("--profile", default="", choices=["", *paths.PROFILES], help="default: by the data that is here")
    add_choice(verb)
    verb.add_argument("--jobs", type=int, default=0, help="CPU cores to use (default: all)")
    add_parent(verb)
    verb = verbs.add_parser("runs", help="list a profile's runs and what is there of each; or make what is missing")
    verb.add_argument("--profile", default="full", choices=paths.PROFILES)
    add_choice(verb)
    verb.add_argument("--missing", action="store_true", help="make the missing runs, without Snakemake and report")
    verb.add_argument("--minutes", type=float, help="end then; the next call goes on (default: when all are made)")
    verb.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    verb = verbs.add_parser("run", help="make one run")
    verb.add_argument("experiment", help="for example saravanan2019/table1_feedforward")
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--profile", default="full", choices=paths.PROFILES)
    verb.add_argument("--threads", type=int, help="CPU threads to compute with (default: all)")
    add_parent(verb)
    verb = verbs.add_parser("report", help="make the report of the runs that are there")
    verb.add_argument("--profile", default="full", choices=paths.PROFILES)
    verbs.add_parser("data", help="fetch FER2013 from Kaggle into data/, or say how to get it")
    verb = verbs.add_parser("weights", help="fetch pretrained weights into data/weights/, or say how to get them")
    verb.add_argument("--only", default="", help="comma-separated networks (default: all five)")
    verbs.add_parser("audit", help="list FER2013's duplicates, leaked rows, conflicting labels and flat images")
    verb = verbs.add_parser("score", help="score the answers of any network on FER2013's test sets; compare two")
    verb.add_argument("answers", nargs="+", help="a CSV file, or a record's predictions.npz (see the README)")
    verb.add_argument("--json", metavar="FILE", help="write the figures to this file too")
    verb = verbs.add_parser("cross", help="score one network on the test rows of several data sets, emotions matched")
    verb.add_argument("network", help="a .keras file, or a file of answers as `score` takes it")
    verb.add_argument("data", nargs="+", help="fer2013, ferplus, affectnet, affectnet_official, drawn_faces")
    verb.add_argument("--outputs", default="", help="order of its outputs: fer2013 (default), eight, affectnet, ...")
    verb.add_argument("--input-scale", default="0..1", help="what pixels are scaled to: 0..1 (default) or 0..255")
    verb.add_argument("--leave-out", default="", help="comma-separated emotions that are not to be scored")
    verb.add_argument("--json", metavar="FILE", help="write the figures to this file too")
    verb = verbs.add_parser("live-model", help="train, calibrate and export the network that ships, and write its card")
    verb.add_argument("--profile", default="full", choices=paths.PROFILES)
    add_parent(verb)
    verb = verbs.add_parser("export", help="pack a profile's records into a tar, to take them to another machine")
    verb.add_argument("archive", type=Path, metavar="OUT.tar")
    verb.add_argument("--profile", default="full", choices=paths.PROFILES)
    verb.add_argument("--only", default="", help="comma-separated parts of experiments' names")
    verb.add_argument("--checkpoints", action="store_true", help="those of unfinished runs too, to go on elsewhere")
    verb = verbs.add_parser("import", help="check what `export` packed, and put it in place")
    verb.add_argument("archive", type=Path, metavar="IN.tar")
    verb.add_argument("--force", action="store_true", help="replace records that have other predictions")
    verb = verbs.add_parser("live", help="find faces and their emotions: camera, video, stream, folder or picture")
    verb.add_argument("--source", required=True, help="a camera's number, a video, a stream's URL, a folder, a picture")
    verb.add_argument("--detector", default="tuned", help="tuned (default), paper, usual, or yunet with its file")
    verb.add_argument("--yunet", type=Path, metavar="FILE", help="the network of OpenCV's YuNet")
    verb.add_argument("--threshold", type=float, default=0.5, help="leave less likely emotions open (default: 0.5)")
    verb.add_argument("--show", action="store_true", help="in a window; it needs the extra live-window")
    verb.add_argument("--save", type=Path, metavar="OUT.mkv", help="the frames with what was found drawn on them")
    verb.add_argument("--csv", type=Path, metavar="OUT.csv", help="one line a face")
    verb.add_argument("--json", action="store_true", help="one line of JSON a face, on the standard output")
    options = parser.parse_args(arguments)
    try:
        return run(options)
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; call the same command again", file=sys.stderr)
        return 130


def run(options: argparse.Namespace) -> int:
    """Run a verb. Each imports what it needs, so that none waits for what another needs."""
    if options.verb == "live":
        from .live import command

        return command.run(options)
    if options.verb == "data":
        from .data import download

        return download.fetch()
    if options.verb == "weights":
        from .models import weights

        return weights.fetch(options.only)
    if options.verb == "audit":
        audit()
    elif options.verb == "score":
        score(options.answers, options.json)
    elif options.verb == "cross":
        cross(options)
    elif options.verb == "live-model":
        live_model(options)
    else:
        return study(options)
    return 0


def end_with_parent(options: argparse.Namespace) -> None:
    from . import system

    if getattr(options, "parent", None):
        system.end_with(options.parent)


def live_model(options: argparse.Namespace) -> None:
    end_with_parent(options)
    from .runs import ship

    print(f"The card: {ship.make(options.profile).relative_to(paths.ROOT)}")


def study(options: argparse.Namespace) -> int:
    end_with_parent(options)
    from . import runs, system
    from .runs import make, plan, schedule, transport

    if options.verb in ("reproduce", "runs"):
        which = options.profile, options.seeds, options.only
    if options.verb == "reproduce":
        return make.reproduce(*which, options.force, options.jobs)
    if options.verb == "runs" and options.missing:
        return schedule.make_missing(*which, options.force, options.jobs, options.minutes)
    if options.verb == "export":
        return transport.export_records(options.archive, options.profile, options.only, options.checkpoints)
    if options.verb == "import":
        return transport.import_records(options.archive, options.force)
    if options.verb == "runs":
        print("\n".join(plan.states(plan.wanted(*which))))
    elif options.verb == "run":
        if options.threads:
            system.limit_threads(options.threads)
        folder = runs.execute(options.experiment, options.seed, options.profile)
        print(f"{options.experiment} seed {options.seed}: done, see {folder.relative_to(paths.ROOT)}")
    else:
        print(make.report(options.profile).relative_to(paths.ROOT))
    return 0


def audit() -> None:
    from . import data
    from .data import audit, fer2013
    from .report import tables

    faces = fer2013.load()
    folder = audit.folder(faces)
    audit.write(faces, folder)
    print(f"{data.banner(faces)}\n\n{tables.audit(audit.summary(faces), padded=True)}")
    print(f"The rows are listed in {folder.relative_to(paths.ROOT)}/")


def score(files: list[str], into: str | None) -> None:
    from . import data
    from .data import fer2013
    from .evaluation import score_tables, scoring

    if len(files) > 2:
        raise ValueError(f"score: found {len(files)} files, expected one, or two to compare; score them in turn")
    faces = fer2013.load()
    report = scoring.report(files, faces)
    print(f"{data.banner(faces)}\n\n{score_tables.scores(report)}")
    write_json(report, into)


def cross(options: argparse.Namespace) -> None:
    from .evaluation import crossdata

    left_out = tuple(filter(None, options.leave_out.split(",")))
    report = crossdata.report(options.network, options.data, options.outputs, options.input_scale, left_out)
    print(crossdata.markdown(report))
    write_json(report, options.json)


def write_json(report: dict, into: str | None) -> None:
    if into:
        paths.replace_text(Path(into), json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
