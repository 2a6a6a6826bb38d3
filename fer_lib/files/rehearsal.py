"""Readers written in C, tried out in a process of their own: on some damaged files they crash, or never end."""

import subprocess
import sys

LONGEST = 60
"""Seconds after which a reader is taken to never end."""


def survives(program: str, *arguments: object) -> bool:
    """Whether a short Python program ends by itself, be it in an error: that comes again, where it can be caught."""
    # -P: modules in the working folder are not meant.
    command = [sys.executable, "-P", "-c", program, *map(str, arguments)]
    try:
        return subprocess.run(command, capture_output=True, timeout=LONGEST).returncode in (0, 1)
    except subprocess.TimeoutExpired:
        return False
