"""Notebooks, executed headless by papermill: strict parameters, and a kernel that does not outlive its owner."""

import ast
import json
import os
import re
import sys
from pathlib import Path

from .. import data, paths, system


def defaults(notebook: str) -> dict:
    """Names and default values of a notebook's parameters: the assignments of its cell tagged "parameters"."""
    cells = json.loads((paths.NOTEBOOKS / f"{notebook}.ipynb").read_text())["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    source = "".join(tagged[0]["source"])
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
    }


def checked(notebook: str, values: dict) -> dict:
    """The notebook's defaults with ``values`` over them.

    papermill only warns of a name that the notebook does not have, and passes any type on; here both are refused:
    TypeError for a value of another type than the default (an int for a float is taken, and text for None), ValueError
    for a name.
    """
    known = defaults(notebook)
    for name, value in values.items():
        if name not in known:
            raise ValueError(
                f"{notebook}: no parameter is called {name!r} (found {value!r}), expected "
                f"{data.nearest(name, known) or 'one of ' + ', '.join(known)}; the first cell of code explains them"
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
    return known | values


def check_parameters(notebook: str, variables: dict) -> None:
    """Refuse, as ``checked`` does, what a notebook's own cells are about to use; ``variables`` are its ``globals()``.

    It looks at each parameter's value, wherever it was set, and at every name in the cell that papermill put in (the
    last one that was executed), which begins with a comment and stands in ``In``. Whole numbers become floats.
    """
    put_in = [source for source in variables.get("In", []) if source.startswith("# Parameters\n")]
    nodes = ast.parse(put_in[-1]).body if put_in else []
    named = {node.targets[0].id for node in nodes if isinstance(node, ast.Assign)}
    if unset := [name for name in defaults(notebook) if name not in variables]:
        raise ValueError(
            f"{notebook}: found no value of {', '.join(unset)}; execute the first cell of code before this"
        )
    variables.update(checked(notebook, {name: variables.get(name) for name in named | defaults(notebook).keys()}))


def execute(
    notebook: str, output: Path, values: dict, prefix: str | None = None, lock: int | None = None
) -> dict | None:
    """Execute a notebook by papermill into ``output``; None, or where it failed (``cell``, ``error``, ``source``).

    What the notebook prints goes to the terminal too, each line after ``prefix``, unless that is None. The kernel ends
    when this process does, and holds ``lock``, a file's descriptor, as long as it lives.
    """
    import papermill

    output.parent.mkdir(parents=True, exist_ok=True)
    if os.environ.get("KERAS_BACKEND") == "jax":  # read when JAX starts in the kernel; without effect on a CPU
        os.environ["XLA_FLAGS"] = f"--xla_gpu_deterministic_ops=true {os.environ.get('XLA_FLAGS', '')}".strip()
    problem, log = None, output.with_suffix(".log")
    try:
        with open(log, "wb") as stderr:
            papermill.execute_notebook(
                str(paths.NOTEBOOKS / f"{notebook}.ipynb"),
                str(output),
                parameters=checked(notebook, values),
                cwd=str(paths.ROOT),
                kernel_name="python3",
                kernel_manager_class=_kernel_manager(stderr, lock),
                stdout_file=None if prefix is None else _Prefixed(prefix),
                progress_bar=False,
                start_timeout=600,  # seconds: a busy machine is no error
            )
    except papermill.PapermillExecutionError as error:
        problem = {"cell": error.exec_count, "error": f"{error.ename}: {error.evalue}", "source": error.source}
    except RuntimeError as error:  # so nbclient says that there is no kernel, or no kernel any more
        problem = {"cell": None, "error": f"{error} (killed, or out of memory?); {_last_words(log)}", "source": ""}
    executed = json.loads(output.read_text())
    executed["metadata"].pop("widgets", None)  # the state of its progress bars, which is more than all its other text
    output.write_text(_anonymous(json.dumps(executed, indent=1, ensure_ascii=False) + "\n"))
    return problem


def _kernel_manager(stderr, lock: int | None) -> type:
    """Starts the kernel as a child that Linux kills with this process; elsewhere ipykernel looks once a second."""
    from jupyter_client.manager import AsyncKernelManager

    owner, passed = os.getpid(), () if lock is None else (lock,)

    class Manager(AsyncKernelManager):
        async def start_kernel(self, **options):
            await super().start_kernel(
                preexec_fn=lambda: system.ask_for_death_signal(owner), pass_fds=passed, stderr=stderr, **options
            )

    return Manager


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").split("\n") if line.strip()]
    if not lines:
        return "it printed no error"
    return f"its last words, in {_anonymous(str(log))}: {_anonymous(lines[-1])[:300]}"


def _anonymous(text: str) -> str:
    """Nobody's folders belong into a result: neither the project's nor those of the packages, nor a home."""
    text = text.replace(str(paths.ROOT) + "/", "").replace(str(Path.home()), "~")
    return re.sub(r"(?<![\w:/])(?:[~/][\w.+~-]*)+/((?:site|dist)-packages/)", r"\1", text)


class _Prefixed:
    """A text file that passes lines on to the terminal, each after a name: runs side by side stay apart."""

    def __init__(self, prefix: str):
        self.prefix = prefix

    def write(self, text: str) -> None:
        for line in text.splitlines():
            if line.strip():
                print(self.prefix + line, flush=True)

    def flush(self) -> None:
        sys.stdout.flush()
