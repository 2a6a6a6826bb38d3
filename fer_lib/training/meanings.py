"""What the fields of a protocol mean and which values they may have, read from ``Protocol`` itself. No engine is
imported here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import fields

from .. import markdown
from .protocol import CHOICES, LEAST, Protocol

KINDS = {bool: "True or False", dict: "a dict", float: "a number", int: "a whole number", str: "a text"}


def meanings() -> dict[str, str]:
    """What each field of ``Protocol`` means, by its name: the comment behind it, or on the lines above it."""
    found, above = {}, []
    for line in inspect.getsource(Protocol).split("def ")[0].splitlines():
        if comment := re.match(r"\s+# (.+)", line):
            above.append(comment[1])
        elif of := re.match(r"\s+(\w+): \w+ = .*?(?:  # (.+))?$", line):
            found[of[1]] = " ".join([*above, *filter(None, [of[2]])])
            above = []
    return found


def allowed(name: str) -> str:
    """Which values a field of ``Protocol`` may have, in words."""
    if name in CHOICES:
        return ", ".join(repr(choice) for choice in CHOICES[name])
    kind = KINDS[next(field.type for field in fields(Protocol) if field.name == name)]
    return f"{kind}, {LEAST[name]} or more" if name in LEAST else kind


def table(protocol: Protocol, names: Iterable[str] = ()) -> str:
    """The fields of a protocol, or those that are named, as a Markdown table: value, default, allowed values, meaning.

    Raises AttributeError for a name that is no field.
    """
    known, usual = meanings(), Protocol()
    return markdown.table([
        {
            "Field": f"`{name}`",
            "Here": repr(getattr(protocol, name)),
            "Default": repr(getattr(usual, name)),
            "Allowed": allowed(name),
            "Meaning": known[name],
        }
        for name in names or known
    ])  # fmt: skip
