"""``.venv/bin/fer live``: the faces of one or several sources on standard output, in files, or in a window."""

import argparse
import os
import signal
import sys
import time
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from functools import partial
from itertools import chain

from ..data import PROGRESS
from ..files import refused
from . import outputs, sources, summary
from .pipeline import Result, Watcher, as_region, results


def run(options: argparse.Namespace) -> int:
    """Watch sources to their end, or until Ctrl-C. Returns the exit code: 0, or 130 after Ctrl-C.

    options: source (one or several), every, region, detector, yunet, threshold, show, save, csv, summary, json, per, as
        the command has them.
    No output file is opened before the first frame. What came before an error or Ctrl-C is in complete files. A source
    that cannot be read is a warning if there are several, and an error if none can be read. Raises what ``sources``,
    ``Watcher`` and the outputs raise.
    """
    parts = sources.parts(options.source)
    _refuse_early(options, parts)
    count, faces, started = 0, 0, time.monotonic()
    begun: list[Result] = []
    with ExitStack() as stack:
        interrupted = stack.enter_context(_stopping(begun))
        stack.enter_context(warnings.catch_warnings())  # one line each, without the place in the code
        warnings.simplefilter("always", UserWarning)
        told: set[str] = set()
        warnings.showwarning = lambda message, *_: _print_warning(str(message), told)
        watched = stack.enter_context(closing(_watched(options, parts)))
        first = next(watched)  # raises if there is no frame
        begun.append(first[0])
        write = [stack.enter_context(_ended(output)) for output in _outputs(options, parts)]
        aside = _bar_aside if sys.stdout.isatty() else nullcontext  # for lines on the same terminal
        try:
            for result, moving in chain([first], watched):
                count, faces = count + 1, faces + len(result.faces)
                with aside():
                    enough = any([each(result, moving) for each in write])
                if enough or interrupted():
                    break
        except (BrokenPipeError, _Stopped):  # the reader of the lines has closed the pipe; there is no next frame
            pass
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
    if options.region is not None:
        as_region(options.region)
    if not all(options.source):
        raise refused("--source", "nothing", "a source", "name one")
    _refuse_clashes(options, parts)
    if options.save:
        outputs.check_drawn(options.save, len(parts) == 1 and _is_one_picture(parts[0]))
    if options.csv:
        outputs.check_csv(options.csv)
    if options.summary:
        summary.check(options.summary)


def _refuse_clashes(options: argparse.Namespace, parts: list[sources.Source]) -> None:
    """Raise ValueError for an output in a folder that is not there, and for a file that is written twice, or written
    and read."""
    taken: dict[tuple, str] = {}
    if options.json:
        with suppress(OSError, ValueError, AttributeError):  # there may be none, or one that is no file
            found = os.fstat(sys.stdout.fileno())
            taken[found.st_dev, found.st_ino] = "the standard output, with --json"
    taken.pop(_identity(os.devnull), None)
    files = {f"--{name}": getattr(options, name) for name in ("save", "csv", "summary") if getattr(options, name)}
    for option, path in files.items():
        if path.is_dir() or not path.absolute().parent.is_dir():
            found = "a folder" if path.is_dir() else f"no folder {path.parent}"
            raise refused(f"{option} {path}", found, "a file in a folder that is there", "name one, or make the folder")
        if _identity(path) in taken:
            found = f"a file that is written twice: it is that of {taken[_identity(path)]}"
            raise refused(f"{option} {path}", found, "a file for each output", "name another")
        if _identity(path) != _identity(os.devnull):
            taken[_identity(path)] = f"{option} {path}"
    read = [str(options.yunet or "")]
    for part in parts:
        read += [str(file).removeprefix("file://") for file in (part if isinstance(part, list) else [part])]
    read += [entry.path for folder in read if os.path.isdir(folder) for entry in os.scandir(folder)]
    for file in read:
        if os.path.isfile(file) and _identity(file) in taken:
            raise refused(taken[_identity(file)], "the source itself", "another file to write to", "name one")


def _identity(path: str | os.PathLike) -> tuple:
    """The same for all names of a file: its number on its disk. Of one that is not there yet, the whole name without
    links and in lower case, as some disks make no difference."""
    try:
        found = os.stat(path)
        return found.st_dev, found.st_ino
    except OSError:
        return (unicodedata.normalize("NFC", os.path.realpath(path)).casefold(),)


def _watched(options: argparse.Namespace, parts: list[sources.Source]) -> Iterator[tuple[Result, bool]]:
    """The results of all sources, one after the other, each with whether its source moves. Faces of different sources
    have different numbers. Raises ValueError if nothing can be read."""
    classifier, number, read = None, 1, 0
    region = None if options.region is None else as_region(options.region)
    for place, part in enumerate(parts, 1):
        moving = sources.moves(part)
        settings = {"threshold": options.threshold, "yunet": options.yunet, "moving": moving, "region": region}
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
        yield outputs.drawn_file(options.save)
    if options.csv:
        yield outputs.csv_file(options.csv)
    if options.summary:
        yield summary.summary_file(options.summary)
    if options.json:
        yield nullcontext(outputs.print_json_frame if options.per == "frame" else outputs.print_json)
    if not (options.show or options.save or options.csv or options.summary or options.json):
        yield nullcontext(partial(outputs.print_text, several=len(parts) > 1))


@contextmanager
def _ended(output: AbstractContextManager) -> Iterator[outputs.Output]:
    """An output that ends in any case. Its error at the end is a warning where another came before, which is told."""
    with ExitStack() as stack:
        write = stack.enter_context(output)
        try:
            yield write
        except BaseException:
            try:
                stack.close()
            except OSError as error:
                warnings.warn(str(error), stacklevel=2)
            raise


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


class _Stopped(KeyboardInterrupt):
    """A signal came where nothing is half done: while the next frame is waited for."""


@contextmanager
def _stopping(begun: list) -> Iterator[Callable[[], bool]]:
    """Gives a function that returns whether Ctrl-C or SIGTERM came: the current frame is then the last. While the next
    one is waited for, it raises _Stopped. A second one ends the program at once, and so does one as long as nothing has
    begun: it raises KeyboardInterrupt."""
    signals = []

    def stop(number: int, _) -> None:
        if not begun:
            raise KeyboardInterrupt
        signals.append(number)
        for each in before:
            signal.signal(each, signal.default_int_handler)
        if sources.waiting():
            raise _Stopped

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield lambda: bool(signals)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
