"""Notebooks, executed headless by papermill: strict parameters, and a kernel that does not outlive its owner."""

import ast
import io
import json
import math
import os
import re
import shutil
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

from .. import paths, system
from ..files import documents, nearest, reason, refused, writing

PLACE = ("experiment", "title", "profile", "record")
"""Parameters that say where a run goes; every notebook that makes records has them."""
NOT_IDENTITY = (*PLACE, "devices")
"""Parameters that say where a run goes or how it is computed, not what it does."""
QUIET = 14.0
"""Seconds after which a run that prints nothing tells how far it is."""
CLEAR = "\r\x1b[K"
"""To a terminal: start the line again."""


def defaults(notebook: str) -> dict:
    """Names and default values of a notebook's parameters: the assignments of its cell tagged "parameters".

    Raises ValueError naming the file if it is no notebook, or has no such cell of plain values.
    """
    file = paths.NOTEBOOKS / f"{notebook}.ipynb"
    return deepcopy(_defaults(file, system.file_hash(file)))


@lru_cache
def _defaults(file: Path, content_hash: str) -> dict:
    """``defaults``, read once for each content."""
    content = documents.read_json(file)
    try:
        tagged = [cell for cell in content["cells"] if "parameters" in cell["metadata"].get("tags", [])]
        assigned = [node for node in ast.parse("".join(tagged[0]["source"])).body if isinstance(node, ast.Assign)]
        return {node.targets[0].id: ast.literal_eval(node.value) for node in assigned}
    except (LookupError, TypeError, AttributeError, ValueError, SyntaxError) as error:
        expected = 'a notebook whose cell tagged "parameters" assigns plain values'
        raise refused(file, f"something else ({reason(error)})", expected, "correct or restore it") from error


def checked(notebook: str, values: dict) -> dict:
    """The notebook's defaults with ``values`` over them.

    papermill only warns of a name that the notebook does not have, and passes any type on; here both are refused:
    TypeError for a value of another type than the default (an int for a float is taken, and text for None), ValueError
    for a name, and for a number that is NaN or infinite.
    """
    known = defaults(notebook)
    for name, value in values.items():
        if name not in known:
            raise ValueError(
                f"{notebook}: no parameter is called {name!r} (found {value!r}), expected "
                f"{nearest(name, known) or 'one of ' + ', '.join(known)}; the first cell of code explains them"
            )
        default = known[name]
        if type(default) is float and type(value) is int:
            values = values | {name: float(value)}
        elif type(value) is not type(default) and not (default is None and type(value) is str):
            then = {float: "YAML reads 1e-3 as text, write 1.0e-3", str: "papermill's -r passes a number as text"}
            raise TypeError(
                f"{notebook}: parameter {name} is {value!r} ({type(value).__name__}), "
                f"expected {'text or None' if default is None else f'{type(default).__name__} like {default!r}'}; "
                + then.get(type(default), "correct the value: the first cell of code says what each may be")
            )
        numbers = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        if wrong := [number for number in numbers if isinstance(number, float) and not math.isfinite(number)]:
            raise ValueError(
                f"{notebook}: parameter {name} has {wrong[0]}, expected a finite number; correct the value"
            )
    return known | values


def check_parameters(notebook: str, variables: dict) -> None:
    """Refuse, as ``checked`` does, what a notebook's own cells are about to use; ``variables`` are its ``globals()``.

    It looks at each parameter's value, wherever it was set, and at every name in the cell that papermill put in (the
    last one that was executed), which begins with a comment and stands in ``In``. Whole numbers become floats.
    """
    put_in = [source for source in variables.get("In", []) if source.startswith("# Parameters\n")]
    nodes = ast.parse(put_in[-1]).body if put_in else []
    targets = [target for node in nodes if isinstance(node, ast.Assign) for target in node.targets]
    named = {target.id for target in targets if isinstance(target, ast.Name)}
    if unset := [name for name in defaults(notebook) if name not in variables]:
        raise ValueError(
            f"{notebook}: found no value of {', '.join(unset)}; execute the first cell of code before this"
        )
    variables.update(checked(notebook, {name: variables.get(name) for name in named | defaults(notebook).keys()}))


def identity(notebook: str, variables: dict) -> dict:
    """Of a notebook's parameters those that say what it does, with their values; ``variables`` are its ``globals()``.

    What a record keeps as its parameters: all but ``NOT_IDENTITY``.
    """
    return {name: variables[name] for name in defaults(notebook) if name not in NOT_IDENTITY}


def execute(
    notebook: str,
    output: Path,
    values: dict,
    prefix: str | None = None,
    lock: int | None = None,
    limit: float | None = None,
) -> dict | None:
    """Execute a notebook by papermill into ``output``; None, or where it failed (``cell``, ``error``, ``source``).

    What the notebook prints goes to the terminal too, each line after ``prefix``, unless that is None; and while it
    prints nothing, how far it is (``system.tell``). The kernel ends when this process does, and holds ``lock``, a
    file's descriptor, as long as it lives.

    After ``limit`` seconds the kernel is killed, whatever it does, and the run has failed. They are counted from here
    on by a clock that nobody sets (``time.monotonic``), and that stands still while the machine sleeps.
    """
    import papermill

    output.parent.mkdir(parents=True, exist_ok=True)
    if os.environ.get("KERAS_BACKEND") == "jax":  # read when JAX starts in the kernel; without effect on a CPU
        os.environ["XLA_FLAGS"] = f"--xla_gpu_deterministic_ops=true {os.environ.get('XLA_FLAGS', '')}".strip()
    problem, log, word = None, output.with_suffix(".log"), output.with_suffix(".progress")
    kernel = _Kernel()
    timer = threading.Timer(limit or 0, kernel.end)
    timer.daemon = True
    if limit is not None:
        timer.start()
    try:
        with open(log, "wb") as stderr, nullcontext() if prefix is None else _shown(prefix, word) as terminal:
            papermill.execute_notebook(
                _plain(paths.NOTEBOOKS / f"{notebook}.ipynb"),
                _plain(output),
                parameters=checked(notebook, values),
                cwd=str(paths.ROOT),
                kernel_name="python3",  # the language; the command is that of ``_kernel_manager``
                kernel_manager_class=_kernel_manager(kernel, stderr, lock, word),
                stdout_file=terminal,
                progress_bar=False,
                start_timeout=600,  # seconds: a busy machine is no error
            )
    except papermill.PapermillExecutionError as error:
        problem = {"cell": error.exec_count, "error": f"{error.ename}: {error.evalue}", "source": error.source}
    except RuntimeError as error:  # so nbclient says that there is no kernel, or no kernel any more
        problem = {"cell": None, "error": f"{error} (killed, or out of memory?); {_last_words(log)}", "source": ""}
    finally:
        timer.cancel()
    executed = documents.read_json(output)
    if problem and kernel.ended:
        problem = _over_the_limit(executed, limit, values.get("experiment", notebook), _last_words(log))
    executed["metadata"].pop("widgets", None)  # the state of its progress bars, which is more than all its other text
    writing.replace_text(output, json.dumps(_anonymous(executed), indent=1, ensure_ascii=False) + "\n")
    return problem


def execute_here(notebook: str, output: Path, values: dict) -> dict | None:
    """``execute``, but in this process, without a kernel: what is loaded here already serves the notebook too.

    For notebooks that only read, such as the report's. Its cells share no variable with this process, but modules and
    what these hold. What it prints is kept in ``output`` alone. It takes the place of ``__main__`` and of IPython's
    shell, so a process that goes on with something else should leave this to a child.
    """
    from IPython.core.interactiveshell import InteractiveShell
    from nbformat.v4 import new_output
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook
    from traitlets.config import Config

    content = load_notebook_node(str(paths.NOTEBOOKS / f"{notebook}.ipynb"))
    content = parameterize_notebook(content, checked(notebook, values), kernel_name="python3", language="python")
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}), user_ns={})
    outputs, problem = [], None

    def displayed(data: dict, metadata: dict | None = None, **_) -> None:
        outputs.append(new_output("display_data", data, metadata=metadata or {}))

    def returned(result: object) -> None:
        if result is not None:
            data, metadata = shell.display_formatter.format(result)
            outputs.append(new_output("execute_result", data, metadata=metadata, execution_count=shell.execution_count))

    shell.display_pub.publish, shell.display_trap.hook = displayed, returned
    for cell in content.cells:
        if cell.cell_type != "code" or problem:
            continue
        outputs.clear()
        with redirect_stdout(io.StringIO()) as said, redirect_stderr(said):
            done = shell.run_cell(cell.source, store_history=True)
        cell.execution_count = shell.execution_count - 1
        text = said.getvalue()
        cell.outputs = [*([new_output("stream", name="stdout", text=text)] if text and done.success else []), *outputs]
        if not done.success:
            error = done.error_before_exec or done.error_in_exec
            text = f"{type(error).__name__}: {error}"
            problem = {"cell": cell.execution_count, "error": text, "source": cell.source}
    output.parent.mkdir(parents=True, exist_ok=True)
    writing.replace_text(output, json.dumps(_anonymous(content), indent=1, ensure_ascii=False) + "\n")
    return problem


def _plain(path: Path) -> str:
    """A path for papermill, which takes braces in one for the places of parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


class _Kernel:
    """A kernel that is to end when its time is over, however deep it hangs; ``pid`` is known when it has started."""

    def __init__(self):
        self.pid, self.ended, self.lock = None, False, threading.Lock()

    def started(self, pid: int) -> None:
        with self.lock:
            self.pid = pid
            if self.ended:
                os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        with self.lock:
            self.ended = True
            if self.pid:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)


LIMIT = "the limit of a run is over"
"""What the failure of a run says that was ended for it."""


def _over_the_limit(executed: dict, limit: float, experiment: str, last_words: str) -> dict:
    """The failure of a notebook that was ended after ``limit`` seconds: the cell that was under way, and what to do."""
    code = [cell for cell in executed["cells"] if cell["cell_type"] == "code"]
    begun = [cell for cell in code if cell["metadata"].get("papermill", {}).get("start_time")]
    error = (
        f"{LIMIT}: found it still at work after {system.clock(limit)}, expected its end by then; see what it waits "
        f"for ({last_words}), or raise limit_hours (expect, experiments/{experiment}.yaml); the next call goes on from "
        "its last checkpoint"
    )
    return {"cell": len(begun) or None, "error": error, "source": "".join(begun[-1]["source"]) if begun else ""}


def _kernel_manager(kernel: _Kernel, stderr, lock: int | None, word: Path) -> type:
    """Starts the kernel as a child that Linux kills with this process; elsewhere ipykernel looks once a second.

    It is always this environment's, whatever kernels ``JUPYTER_PATH`` or the user's own folders have by its name.
    """
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    owner, passed = os.getpid(), () if lock is None else (lock,)

    class Manager(AsyncKernelManager):
        kernel_spec = KernelSpec(**get_kernel_dict())

        async def start_kernel(self, **options):
            # Beside the run, not among temporary files, so that what was killed leaves none. It has to be private.
            place = word.with_suffix(".connection")
            place.touch(0o600)
            if stat.S_IMODE(place.stat().st_mode) == 0o600:
                self.connection_file = str(place.absolute())
            options["env"] = {**(options.get("env") or os.environ), system.PROGRESS: str(word.absolute())}
            await super().start_kernel(
                preexec_fn=lambda: system.ask_for_death_signal(owner), pass_fds=passed, stderr=stderr, **options
            )
            kernel.started(self.provisioner.pid)

    return Manager


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").split("\n") if line.strip()]
    if not lines:
        return "it printed no error"
    return f"its last words, in {_anonymous(str(log))}: {_anonymous(lines[-1])[:300]}"


_BEFORE = r"(\x1b\[[\d;]*m|\\[nrt]|(?<![\w.+~-]))"
"""What may stand before a path: a terminal's colour, a line break as ``repr`` writes it, or no part of a name."""
_AFTER = r"(?!\.?[\w+~-])"
"""What ends a name: /home/jo is no part of /home/john, nor of /home/jo.old."""


def _anonymous(content):
    """Nobody's folders belong into a result: neither the project's nor those of the packages, nor a home.

    content: a text, or a JSON document, of which all texts change. A home or project at the system's root, which would
    be in every path, is left alone. Takes time in proportion to the text.
    """
    if isinstance(content, dict):
        return {key: _anonymous(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_anonymous(value) for value in content]
    if not isinstance(content, str):
        return content
    for folder, end, instead in ((str(paths.ROOT), "/", ""), (os.path.expanduser("~"), _AFTER, "~")):
        if len(folder) > 1 and os.path.isabs(folder):
            content = re.sub(f"{_BEFORE}{re.escape(folder)}{end}", rf"\1{instead}", content)

    def shortened(found: re.Match) -> str:
        path = found[2]
        return found[1] + path[max(path.rfind("/site-packages/"), path.rfind("/dist-packages/")) + 1 :]

    return re.sub(rf"{_BEFORE}(?<![:/])([~/][\w.+~/-]*)", shortened, content)


@contextmanager
def _shown(prefix: str, word: Path) -> Iterator["_Terminal"]:
    """A file for what a notebook prints; beside it a thread shows what its kernel tells in ``word``."""
    terminal, done, started = _Terminal(prefix), threading.Event(), time.monotonic()

    def watch() -> None:
        while not done.wait(1):
            told = word.read_text() if word.exists() else "at work"
            with suppress(OSError):  # who reads this is gone: the run's next line says it
                terminal.show(f"{told}, {system.clock(time.monotonic() - started)} so far", time.monotonic() - started)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield terminal
    finally:
        done.set()
        watching.join()
        terminal.clear()
        word.unlink(missing_ok=True)


class _Terminal:
    """A text file that passes lines on to the terminal, each after a name: runs side by side stay apart.

    On a terminal one more line is below them, which ``show`` writes over; elsewhere, such as in a log, ``show`` prints
    a line only where nothing was printed for ``QUIET`` seconds, and for up to four times as long in a long run.
    """

    def __init__(self, prefix: str):
        self.prefix, self.live, self.printed, self.lock = (
            prefix,
            sys.stdout.isatty(),
            time.monotonic(),
            threading.Lock(),
        )

    def write(self, text: str) -> None:
        for line in text.splitlines():
            if line.strip():
                self._print(line)

    def show(self, line: str, elapsed: float) -> None:
        """Show how far the run is, after so many seconds."""
        if self.live:
            with self.lock:
                text = (self.prefix + line)[1 - shutil.get_terminal_size().columns :]  # its end tells most
                print(f"{CLEAR}{text}", end="", flush=True)
        elif time.monotonic() - self.printed > max(QUIET, min(elapsed / 40, 4 * QUIET)):
            self._print(line)

    def clear(self) -> None:
        if self.live:
            print(CLEAR, end="", flush=True)

    def _print(self, line: str) -> None:
        with self.lock:
            print((CLEAR if self.live else "") + self.prefix + line, flush=True)
            self.printed = time.monotonic()

    def flush(self) -> None:
        sys.stdout.flush()
