"""``fer``, or ``python -m fer_lib`` where the package is not installed: one verb a capability."""

import argparse
import errno
import io
import json
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import paths
from .files import without_control, writing

SCORE = """\
A CSV file has one line for each row that was predicted, in any order: all of PublicTest or all of PrivateTest at least.

  row      number of the face's line in fer2013.csv, counted from 0 without the header:
           PublicTest is 28709 to 32297, PrivateTest 32298 to 35886
  emotion  what was predicted, a name or its code: 0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral
  or, in place of emotion, seven columns of probabilities, 0 to 1, that add up to 1:
           angry,disgust,fear,happy,sad,surprise,neutral

For example:

  row,emotion
  28709,happy
  28710,neutral

or:

  row,angry,disgust,fear,happy,sad,surprise,neutral
  28709,0.02,0.00,0.03,0.80,0.05,0.04,0.06
  28710,0.10,0.01,0.12,0.07,0.20,0.02,0.48

Columns of other names are not read. A record's predictions.npz is taken too; predictions.npz:best is its best epoch.
FER2013 has to be here: FER2013=PATH, or data/."""


def at_least(least: int):
    """A type of option: a whole number, and no smaller."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number, {least} or more")
        return int(text)

    return read


def names(text: str) -> str:
    """A type of option: names with commas between them."""
    if text and not text.strip(" ,"):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected names with commas between them, or none at all")
    return text


def name_and_seed(text: str) -> tuple[str, int | None]:
    """A type of option: an experiment's name, with ":" and a seed after it, or None."""
    name, colon, seed = text.partition(":")
    return name, at_least(0)(seed) if colon else None


def new_file(text: str) -> Path:
    """A type of option: a file that can be made."""
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        found = f"the folder {text}" if path.is_dir() else f"no folder {path.parent}"
        raise argparse.ArgumentTypeError(f"found {found}, expected a file in a folder that is there; make the folder")
    return path


def parser() -> argparse.ArgumentParser:
    """The verbs and their options; those that several verbs have are written once."""
    profile, whatever, only, choice, parent, scores = (argparse.ArgumentParser(add_help=False) for _ in range(6))
    profile.add_argument("--profile", default="full", choices=paths.PROFILES)
    only.add_argument("--only", default="", type=names, help="comma-separated parts of experiments' names")
    choice.add_argument("--seeds", type=at_least(1), help="seeds of each experiment")
    choice.add_argument("--force", action="store_true", help="repeat runs that have a current record")
    whatever.add_argument("--profile", default="", choices=paths.PROFILES, help="default: by the data that is here")
    parent.add_argument("--parent", type=int, metavar="PID", help="end when this process, which started it, has ended")
    scores.add_argument("--json", type=new_file, metavar="FILE", help="write the scores to this file too")

    whole = argparse.ArgumentParser(prog="fer", description="Reproduce the experiments of the papers.")
    verbs = whole.add_subparsers(dest="verb", required=True, metavar="VERB")

    def add(name: str, text: str, *shared: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=text, parents=shared)

    verb = add("reproduce", "make every run that is missing, then the report", whatever, only, choice, parent)
    verb.add_argument("--jobs", type=at_least(1), help="CPU cores to use; on a cluster by each job (default: all; 4)")
    there = "where runs are made: slurm (default: FER_CLUSTER of the environment, else here)"
    verb.add_argument("--cluster", default=os.environ.get("FER_CLUSTER", ""), metavar="NAME", help=there)
    add("plan", "say what `reproduce` would make, how long that takes and on how much disk", whatever, only, choice)
    verb = add("runs", "list a profile's runs and the state of each; or make what is missing", only, choice)
    verb.add_argument("--profile", default="", choices=paths.PROFILES, help="default: full; with --list: its own")
    verb.add_argument("--missing", action="store_true", help="make the missing runs, without Snakemake and report")
    verb.add_argument("--minutes", type=float, help="end then; the next call goes on (default: when all are made)")
    verb.add_argument("--jobs", type=at_least(1), default=1, help="runs at a time (default: 1)")
    verb.add_argument("--list", type=Path, metavar="FILE", help="with --missing: of these, which `kit` listed")
    verb = add("kit", "pack what a machine without network needs to make the missing runs", profile, only)
    verb.add_argument("out", type=Path, metavar="OUT", help="the folder that is made; an older kit is replaced")
    verb.add_argument("--seeds", type=at_least(1), help="seeds of each experiment")
    verb.add_argument("--size", type=at_least(1), default=50, help="megabytes of a piece at most (default: 50)")
    verb.add_argument("--python", default="3.12", help="the version of the machine's Python (default: 3.12)")
    without = "packages that the machine has and that are used with all they need, such as jax,opencv-python-headless"
    verb.add_argument("--without", default="", type=names, help=without)
    verb = add("run", "make one run, or several one after the other", profile, parent)
    named = "for example saravanan2019/table1_feedforward, or with its seed saravanan2019/table1_feedforward:3"
    verb.add_argument("experiments", nargs="+", type=name_and_seed, metavar="EXPERIMENT[:SEED]", help=named)
    verb.add_argument("--seed", type=at_least(0), default=0, help="of those that name none (default: 0)")
    again = "2 or more: leave out what an earlier attempt made, or what failed by an error of its own (default: 1)"
    verb.add_argument("--attempt", type=at_least(1), default=1, help=again)
    verb.add_argument("--threads", type=at_least(1), help="CPU threads to compute with (default: all)")
    verb = add("check-results", "make committed runs again, and compare each with its record", parent)
    verb.add_argument(
        "names", nargs="*", metavar="NAME", help="experiments (default: a tree, and 2 epochs of a network)"
    )
    verb.add_argument("--seed", type=at_least(0), default=0, help="whose record is compared (default: 0)")
    verb.add_argument("--epochs", type=at_least(1), default=0, help="only the first ones (default: the whole run)")
    add("report", "make the report of the runs that are there", profile)
    add("article", "print docs/article.md as docs/article.pdf, by Chromium")
    add("data", "fetch FER2013 from Kaggle into data/, or say how to get it")
    verb = add("weights", "fetch pretrained weights into data/weights/, or say how to get them")
    verb.add_argument("--only", default="", type=names, help="comma-separated networks (default: all five)")
    add("audit", "list FER2013's duplicates, leaked rows, near-duplicates, conflicting labels and flat images")
    verb = add("score", "score the predictions of any network on FER2013's test sets; compare two", scores)
    verb.formatter_class, verb.epilog = argparse.RawDescriptionHelpFormatter, SCORE
    verb.add_argument("predictions", nargs="+", help="a CSV file (see below), or a record's predictions.npz")
    verb = add("cross", "score one network on the test rows of several data sets, emotions matched", scores)
    verb.add_argument("network", help="a .keras file, or a file of predictions as `score` takes it")
    verb.add_argument("data", nargs="+", help="fer2013, ferplus, affectnet, affectnet_official, drawn_faces")
    verb.add_argument("--outputs", default="", help="order of its outputs: fer2013 (default), eight, affectnet, ...")
    verb.add_argument("--input-scale", default="0..1", help="what pixels are scaled to: 0..1 (default) or 0..255")
    verb.add_argument("--leave-out", default="", type=names, help="comma-separated emotions that are not to be scored")
    add("live-model", "train, calibrate and export the live model, and write its card", profile, parent)
    verb = add("export", "pack a profile's records into a tar, to take them to another machine", profile, only)
    verb.add_argument("archive", type=new_file, metavar="OUT.tar")
    verb.add_argument("--checkpoints", action="store_true", help="those of unfinished runs too, to go on elsewhere")
    verb = add("import", "check what `export` packed, and put it in place")
    verb.add_argument("archive", type=Path, metavar="IN.tar")
    verb.add_argument("--force", action="store_true", help="replace records that have other predictions")
    verb = add("live", "find faces and their emotions: camera, video, stream, folder or picture")
    kinds = "a camera's number, videos, streams' URLs, folders, pictures, or quoted patterns such as 'clips/*.mp4'"
    verb.add_argument("--source", required=True, nargs="+", help=kinds)
    verb.add_argument("--every", type=int, default=1, metavar="N", help="look at each Nth frame; at every picture")
    part = "search only this part of each frame, in pixels; the boxes stay the whole frame's"
    verb.add_argument("--region", metavar="LEFT,TOP,WIDTH,HEIGHT", help=part)
    verb.add_argument(
        "--detector", help="blaze (default), or a Haar cascade: tuned, paper, usual; or yunet with its file"
    )
    verb.add_argument("--yunet", type=Path, metavar="FILE", help="the network of OpenCV's YuNet")
    verb.add_argument("--threshold", type=float, default=0.5, help="abstain below this probability (default: 0.5)")
    verb.add_argument("--show", action="store_true", help="in a window; it needs the extra live-window")
    verb.add_argument("--save", type=Path, metavar="OUT.mkv", help="the frames with what was found drawn on them")
    verb.add_argument("--csv", type=Path, metavar="OUT.csv", help="one line a face, one a frame without")
    verb.add_argument(
        "--summary", type=Path, metavar="OUT", help="all in all: a table (.csv), a timeline (.png), both (.html)"
    )
    verb.add_argument("--json", action="store_true", help="the same in JSON, on the standard output")
    verb.add_argument("--per", choices=("face", "frame"), default="face", help="what --json has a line for")
    return whole


def joined(arguments: list[str]) -> list[str]:
    """The arguments, a region written as ``--region=-5,0,99,99``: argparse would take one that begins with a minus for
    another option."""
    found = list(arguments)
    for place in range(len(found) - 2, -1, -1):
        if found[place] == "--region" and re.match(r"-\d", found[place + 1]):
            found[place : place + 2] = [f"--region={found[place + 1]}"]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run a verb; its exit code: 0, 1 after an error, 2 for wrong options, 130 after Ctrl-C.

    Where the reader of the standard output has gone, as in ``fer runs | head``, it ends without a word: with 0, as he
    has seen what he wanted, but with 141, as a shell says of it, where something was to be made and may be lacking.
    """
    ready_streams()
    options = argparse.Namespace(verb="")
    try:
        with telling_the_end(), output_to_the_end():
            parser().parse_args(joined(sys.argv[1:] if arguments is None else arguments), options)
            if getattr(options, "parent", None):
                from . import system

                system.end_with(options.parent)
            return run(options) or 0
    except BrokenPipeError as error:
        if error.filename == Output.called:
            return 141 if options.verb in MAKING or getattr(options, "missing", False) else 0
        say(f"error: {in_words(error)}")
    except OSError as error:
        say(f"error: {in_words(error)}")
    except (ValueError, TypeError, RuntimeError) as error:
        say(f"error: {error}")
    except ModuleNotFoundError as error:  # `live` alone needs little, and may be all that was installed
        if error.name.startswith(__package__):
            raise
        found = f"{options.verb}: found no package {error.name}, expected what the study needs"
        say(f"error: {found}; call it by `make`, or pip install '.[study,lab,tensorflow]'")
    except KeyboardInterrupt:
        say("interrupted; call the same command again")
        return 130
    return 1


@contextmanager
def telling_the_end() -> Iterator[None]:
    """Within this, SIGTERM, as a cluster sends it, ends this process as ever, but not without a word; what runs outside
    of Python, such as a long multiplication, is finished before."""

    def tell(number: int, _) -> None:
        if os.getpid() == owner:  # no copy of this process
            os.write(2, b"ended by SIGTERM; call the same command again\n")  # whatever else is being printed
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    owner, before = os.getpid(), signal.getsignal(signal.SIGTERM)
    ours = before is signal.SIG_DFL and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGTERM, tell)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, before)


MAKING = (
    "reproduce",
    "kit",
    "run",
    "check-results",
    "report",
    "article",
    "data",
    "weights",
    "live-model",
    "export",
    "import",
)
"""The verbs that are called for what they make, not for what they print."""


class Output(io.FileIO):
    """A stream of this process whose errors name it, so that they are told from those of any file."""

    called = "the standard output"

    def write(self, content) -> int:
        try:
            return super().write(content)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.called) from None


class Errors(Output):
    """The standard error; what it does not take is lost, for nobody could be told."""

    def write(self, content) -> int:
        with suppress(OSError):
            return super().write(content)
        return len(content)


def ready_streams() -> None:
    """Let every text be printed, also where a stream is closed (``>&-``), or of another encoding than the text.

    A closed stream is as ``/dev/null``; its number would else be that of the next file that is opened, which would then
    get what a child of this process prints. What an encoding does not have, such as a name that is no UTF-8, is written
    with backslashes.
    """
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(spare, True)
    os.close(spare)
    for number, (name, kind) in enumerate({"stdout": Output, "stderr": Errors}.items(), 1):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__"):  # somebody's own, such as a test's
            continue
        alike = {each: getattr(stream, each) for each in ("encoding", "line_buffering", "write_through") if stream}
        buffer = io.BufferedWriter(kind(number, "w", closefd=False))
        setattr(sys, name, io.TextIOWrapper(buffer, errors="backslashreplace", **alike))


@contextmanager
def output_to_the_end() -> Iterator[None]:
    """What was printed goes out within this, or the error comes out of this, not when the interpreter has ended."""
    try:
        try:
            yield
        except KeyboardInterrupt:
            with suppress(OSError, ValueError):  # it may be no file, or none that tells
                if not select.select([], [1], [], 0)[1]:  # a pipe that is full, and nobody reads: it would wait again
                    drop_output()
            raise
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename == Output.called:  # what is left would fail again, where nobody catches it
            drop_output()
        raise


def drop_output() -> None:
    """Let nothing more of what is printed come out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def say(text: str) -> None:
    print(without_control(text), file=sys.stderr)


def in_words(error: OSError) -> str:
    """What the system says of a file, in the form of all errors here; our own say it themselves."""
    if not error.errno:
        return str(error)
    name = error.filename2 or error.filename
    place, found = f"{name}: " if name else "", (error.strerror or "an error").lower()
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{place}found {found}, expected room for what is written; make room, or name another place"
    if not name:
        return str(error)
    return f"{place}found {found}, expected a file or folder that can be used so; correct the path, or its permissions"


def run(options: argparse.Namespace) -> int | None:
    """Run a verb; its exit code, None for 0. Each imports what it needs, so that none waits for what another needs."""
    match options.verb:
        case "reproduce":
            from .runs import make

            which = options.profile, options.seeds, options.only, options.force
            return make.reproduce(*which, options.jobs, options.cluster)
        case "plan":
            from .runs import make

            make.show_plan(options.profile, options.seeds, options.only, options.force)
        case "runs":
            from .runs import make, plan

            which = options.profile or "full", options.seeds, options.only
            listed = None
            if options.list:
                if not options.missing or options.profile or options.only or options.seeds:
                    found = "found it without --missing, or with a choice (--profile, --only, --seeds)"
                    raise ValueError(f"runs --list: {found}, expected no other than its own; see --help")
                profile, listed = plan.from_list(options.list)
                which = profile, None, ""
            if options.missing:
                return make.make_missing(*which, options.force, options.jobs, options.minutes, listed)
            plan.finish_records(which[0])
            print("\n".join(plan.states(plan.wanted(*which))))
        case "kit":
            from .runs import kit

            which = options.profile, options.seeds, options.only
            return kit.make(options.out.expanduser().absolute(), options.size, *which, options.python, options.without)
        case "run":
            from . import system
            from .runs import engine

            if options.threads:
                system.limit_threads(options.threads)
            named = [(name, options.seed if seed is None else seed) for name, seed in options.experiments]
            return engine.make_runs(named, options.profile, options.attempt)
        case "check-results":
            from .runs import check

            return check.check_results(options.names, options.seed, options.epochs)
        case "report":
            from .runs import make

            make.check_runs(options.profile)
            print(make.report(options.profile).relative_to(paths.ROOT))
        case "article":
            from .report import article

            article.print_pdf()
            print(article.PDF.relative_to(paths.ROOT))
        case "data":
            from .data import download

            return download.fetch()
        case "weights":
            from .models import weights

            return weights.fetch(options.only)
        case "audit":
            audit()
        case "score":
            score(options.predictions, options.json)
        case "cross":
            from .evaluation import crossdata

            left_out = tuple(filter(None, map(str.strip, options.leave_out.split(","))))
            keep_what_is_read("--json", options.json, [options.network], options.data)
            result = crossdata.score(options.network, options.data, options.outputs, options.input_scale, left_out)
            write_json(result, options.json)
            print(crossdata.markdown(result))
        case "live-model":
            from .runs import ship

            print(f"The card: {ship.make(options.profile).relative_to(paths.ROOT)}")
        case "export":
            from .runs import transport

            folder = paths.results_folder(options.profile)
            keep_what_is_read("export", options.archive, [f"{folder / part}" for part in ("runs", "unfinished")])
            return transport.export_records(options.archive, options.profile, options.only, options.checkpoints)
        case "import":
            from .runs import transport

            return transport.import_records(options.archive, options.force)
        case "live":
            from .live import command

            return command.run(options)


def audit() -> None:
    from . import data
    from .data import audit, fer2013, ferplus, near_duplicates
    from .report import tables

    faces = fer2013.load()
    folder = audit.folder(faces)
    audit.write(faces, folder)
    pairs = near_duplicates.find(faces)
    writing.replace_text(folder / f"{near_duplicates.NAME}.csv", near_duplicates.as_csv(faces, pairs))
    if not ferplus.missing(faces):
        rows = faces.ids[ferplus.several(ferplus.counts_for(faces)) & (faces.split > 0)]
        writing.replace_text(folder / "several_emotions.csv", "\n".join(["row", *map(str, rows), ""]))
    findings = audit.summary(faces) + near_duplicates.summary(faces, pairs)
    print(f"{data.banner(faces)}\n\n{tables.audit(findings, padded=True)}")
    print(f"The rows are listed in {folder.relative_to(paths.ROOT)}/")


def score(files: list[str], into: Path | None) -> None:
    from . import data
    from .data import fer2013
    from .evaluation import prediction_files, scoring

    if len(files) > 2:
        raise ValueError(f"score: found {len(files)} files, expected one, or two to compare; score them in turn")
    for file in files:
        prediction_files.check(file)
    keep_what_is_read("--json", into, files, ["ferplus"])
    faces = fer2013.load()
    result = scoring.score_files(files, faces)
    write_json(result, into)
    print(f"{data.banner(faces)}\n\n{scoring.markdown(result)}")


def keep_what_is_read(option: str, into: Path | None, files: list[str], names: Iterable[str] = ()) -> None:
    """Refuse to write over what is read: ``files``, what is in them if they are folders, and the data sets of these
    names; "predictions.npz:best" is predictions.npz."""
    if not into or not into.exists():
        return
    from . import data
    from .evaluation import prediction_files

    read = [prediction_files.path_and_epoch(file)[0] for file in files]
    read += [place for name in names for place in data.places(name)]
    around = {*map(Path.resolve, into.absolute().parents), *into.resolve().parents}
    if any(place.exists() and (place.resolve() in around or into.samefile(place)) for place in read):
        raise ValueError(f"{option} {into}: found a file that is read, expected another; name one")


def write_json(result: dict, into: Path | None) -> None:
    if into:
        writing.replace_text(into, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
