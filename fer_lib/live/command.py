"""``python -m fer_lib live``: a source's faces on the standard output, in files, or in a window."""

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

from ..data import refused
from . import outputs, sources
from .pipeline import watch


def run(options: argparse.Namespace) -> int:
    """Watch a source to its end, or until Ctrl-C. Returns the exit code: 0, or 130 after Ctrl-C.

    options: source, detector, yunet, threshold, show, save, csv, json, as the command has them.
    No file is opened to be written to before the first frame is there. What came before an error, or Ctrl-C, stands in
    files that are whole. Raises what ``watch`` and the outputs raise.
    """
    source, moving = options.source, sources.moves(options.source)
    for path in filter(None, (options.save, options.csv)):
        if path.exists() and os.path.exists(source) and path.samefile(source):
            raise refused(path, "the source itself", "another file to write to", "name one")
    count, faces, started = 0, 0, time.monotonic()
    with ExitStack() as stack:
        interrupted = stack.enter_context(_stopping())
        stack.enter_context(warnings.catch_warnings())  # each is one line, without the place in the code
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
        results = watch(source, options.detector, threshold=options.threshold, yunet=options.yunet)
        stack.enter_context(closing(results))
        first = next(results)  # there is one, or this raises why not
        write = [stack.enter_context(output) for output in _outputs(options, moving)]
        try:
            for result in chain([first], results):
                count, faces = count + 1, faces + len(result.faces)
                if any([each(result) for each in write]) or interrupted():
                    break
        except BrokenPipeError:  # whoever reads the lines has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        finally:
            rate = count / (time.monotonic() - started)
            stack.callback(print, f"{count} frames, {faces} faces, {rate:.0f} frames/s", file=sys.stderr)
    return 130 if interrupted() else 0


def _outputs(options: argparse.Namespace, moving: bool) -> Iterator[AbstractContextManager[outputs.Output]]:
    """The outputs that were asked for; where none was, lines for people."""
    if options.show:
        yield outputs.window(moving)
    if options.save:
        yield outputs.drawn_file(options.save, moving, one=os.path.isfile(options.source))
    if options.csv:
        yield outputs.csv_file(options.csv)
    if options.json:
        yield nullcontext(outputs.print_json)
    if not (options.show or options.save or options.csv or options.json):
        yield nullcontext(partial(outputs.print_text, moving=moving))


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Gives a function that returns whether Ctrl-C, or SIGTERM, came: the frame under way is then the last. A second
    one ends the program at once."""
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
