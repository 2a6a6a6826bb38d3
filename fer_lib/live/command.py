"""``.venv/bin/fer live``: the faces of one or several sources on standard output, in files, or in a window."""

import argparse
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from functools import partial
from itertools import chain

from ..data import PROGRESS
from ..files import refused
from . import outputs, sources, summary
from .pipeline import Result, Watcher, results


def run(options: argparse.Namespace) -> int:
    """Watch sources to their end, or until Ctrl-C. Returns the exit code: 0, or 130 after Ctrl-C.

    options: source (one or several), every, detector, yunet, threshold, show, save, csv, summary, json, per, as the
        command has them.
    No output file is opened before the first frame. What came before an error or Ctrl-C is in complete files. A source
    that cannot be read is a warning if there are several, and an error if none can be read. Raises what ``sources``,
    ``Watcher`` and the outputs raise.
    """
    parts = sources.parts(options.source)
    _refuse_early(options, parts)
    count, faces, started = 0, 0, time.monotonic()
    with ExitStack() as stack:
        interrupted = stack.enter_context(_stopping())
        stack.enter_context(warnings.catch_warnings())  # one line each, without the place in the code
        warnings.simplefilter("always", UserWarning)
        told: set[str] = set()
        warnings.showwarning = lambda message, *_: _print_warning(str(message), told)
        watched = stack.enter_context(closing(_watched(options, parts)))
        first = next(watched)  # raises if there is no frame
        write = [stack.enter_context(output) for output in _outputs(options, parts)]
        aside = _bar_aside if sys.stdout.isatty() else nullcontext  # for lines on the same terminal
        try:
            for result, moving in chain([first], watched):
                count, faces = count + 1, faces + len(result.faces)
                with aside():
                    enough = any([each(result, moving) for each in write])
                if enough or interrupted():
                    break
        except BrokenPipeError:  # the reader of the lines has closed the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        finally:
            watched.close()
            rate = count / (time.monotonic() - started)
            stack.callback(print, f"{count} frames, {faces} faces, {rate:.0f} frames/s", file=sys.stderr)
    return 130 if interrupted() else 0


def _refuse_early(options: argparse.Namespace, parts: list[sources.Source]) -> None:
    """Raise ValueError early for mistakes that would show up late or do harm."""
    if options.every < 1:
        raise refused("--every", str(options.every), "1 or more", "1 looks at all frames")
    if options.per == "frame" and not options.json:
        raise refused("--per", "frame without --json", "--json, whose lines it is about", "add it")
    if options.summary:
        summary.check(options.summary)
    if not all(options.source):
        raise refused("--source", "nothing", "a source", "name one")
    files = [path for path in (options.save, options.csv, options.summary) if path]
    for k, path in enumerate(files):
        if path.is_dir() or not path.absolute().parent.is_dir():
            found = "a folder" if path.is_dir() else f"no folder {path.parent}"
            raise refused(path, found, "a file in a folder that is there", "name one, or make the folder")
        if path.resolve() in (other.resolve() for other in files[:k]):
            raise refused(path, "two outputs to it", "a file for each", "name another")
    read = [file for part in parts for file in (part if isinstance(part, list) else [part]) if os.path.exists(file)]
    for path in files:
        if path.exists() and any(path.samefile(file) for file in read):
            raise refused(path, "the source itself", "another file to write to", "name one")


def _watched(options: argparse.Namespace, parts: list[sources.Source]) -> Iterator[tuple[Result, bool]]:
    """The results of all sources, one after the other, each with whether its source moves. Faces of different sources
    have different numbers. Raises ValueError if nothing can be read."""
    classifier, number, read = None, 1, 0
    for place, part in enumerate(parts, 1):
        moving = sources.moves(part)
        settings = {"threshold": options.threshold, "yunet": options.yunet, "moving": moving}
        watcher = Watcher(options.detector, classifier, **settings)
        classifier, watcher.tracks.next = watcher.classifier, number
        try:
            with _bar(part, f"{place}/{len(parts)}") as reached:
                for result in results(sources.frames(part, options.every), watcher):
                    read += 1
                    reached(result.time if moving else result.index + 1)
                    yield result, moving
        except (OSError, ValueError) as error:
            if len(parts) == 1:
                raise
            warnings.warn(str(error), stacklevel=2)
        number = watcher.tracks.next
    if not read:
        raise refused("--source", "nothing that can be read", "a source that can", "see the warnings above")


def _outputs(options: argparse.Namespace, parts: list[sources.Source]) -> Iterator[AbstractContextManager]:
    """The requested outputs; by default, readable lines."""
    if options.show:
        yield outputs.window()
    if options.save:
        yield outputs.drawn_file(options.save, len(parts) == 1 and _is_one_picture(parts[0]))
    if options.csv:
        yield outputs.csv_file(options.csv)
    if options.summary:
        yield summary.summary_file(options.summary)
    if options.json:
        yield nullcontext(outputs.print_json_frame if options.per == "frame" else outputs.print_json)
    if not (options.show or options.save or options.csv or options.summary or options.json):
        yield nullcontext(partial(outputs.print_text, several=len(parts) > 1))


def _is_one_picture(part: sources.Source) -> bool:
    return not (isinstance(part, list) or sources.moves(part)) and os.path.isfile(part)


@contextmanager
def _bar(part: sources.Source, place: str) -> Iterator[Callable[[float], object]]:
    """A progress bar on a terminal for sources with a known end. Gives a function to call with the progress: seconds of
    a video, or number of pictures."""
    whole = sources.length(part) if sys.stderr.isatty() else None
    if not whole:
        yield lambda reached: None
        return
    from tqdm import tqdm  # here and below: without a terminal it is not needed

    name = f"{len(part)} pictures" if isinstance(part, list) else os.path.basename(part)
    how = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    with tqdm(total=whole, desc=f"{place} {name}", bar_format=how, **PROGRESS) as bar:
        yield lambda reached: bar.update(min(reached, whole) - bar.n)


def _bar_aside() -> AbstractContextManager:
    """Inside this context something may be printed: the bar is off the line."""
    if not sys.stderr.isatty():
        return nullcontext()
    from tqdm import tqdm

    return tqdm.external_write_mode()


def _print_warning(message: str, told: set[str]) -> None:
    """Each warning once: every source may have the same one."""
    if message in told:
        return
    told.add(message)
    with _bar_aside():
        print(f"warning: {message}", file=sys.stderr)


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Gives a function that returns whether Ctrl-C or SIGTERM came: the current frame is then the last. A second one
    ends the program at once."""
    signals = []

    def stop(number: int, _) -> None:
        signals.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(signals)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
