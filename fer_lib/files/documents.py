"""YAML and JSON."""

import json
import math
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from . import nearest, reason, refused, regular

DEEPEST = 100
"""How many lists and mappings of a YAML file may be within each other; libyaml crashes where they are thousands."""

LARGEST = 2**20
"""Characters that the aliases of a YAML file may stand for: ten lines of them can stand for more than fits into memory,
as soon as something writes them out."""


def read_yaml(path: Path, place: object = None) -> object:
    """What a YAML file holds; None if it is empty.

    place: its name in messages. Raises ValueError naming file and line if it is no YAML, or has a key twice.
    """
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # libyaml's, where PyYAML has it: five times as fast
        """Refuses what YAML forbids and PyYAML takes: a key that occurs twice, of which the last would count. And
        numbers without end."""

        def construct_mapping(self, node, deep=False):
            seen = set()
            for key, _ in node.value:
                if isinstance(key.value, str) and key.tag != "tag:yaml.org,2002:merge":  # it may occur more than once
                    if key.value in seen:
                        raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} again", key.start_mark)
                    seen.add(key.value)
            return super().construct_mapping(node, deep)

        def construct_yaml_int(self, node):
            if ":" in node.value and len(node.value) > 1000:  # in sixties, as 1:59:59; it would take hours
                found = f"a number of {len(node.value):,} characters"
                raise yaml.constructor.ConstructorError(None, None, found, node.start_mark)
            return super().construct_yaml_int(node)

    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
    text, begun, sizes, total = _text(path, place), [], {}, 0
    try:
        for event in yaml.parse(text, Loader):
            found = ""
            if isinstance(event, yaml.CollectionStartEvent):
                begun.append((event.anchor, total))
                if len(begun) > DEEPEST:
                    found = f"more than {DEEPEST} lists or mappings within each other"
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, before = begun.pop()
                sizes[anchor] = total - before
            elif isinstance(event, yaml.ScalarEvent):
                sizes[event.anchor] = len(event.value) + 1
                total += len(event.value) + 1
            elif isinstance(event, yaml.AliasEvent):
                if any(anchor == event.anchor for anchor, _ in begun):
                    found = f"the alias *{event.anchor} within what it stands for"
                total += sizes.get(event.anchor, 1)
                if total > len(text) + LARGEST:
                    found = f"aliases that stand for more than {LARGEST:,} characters"
            if found:
                raise yaml.constructor.ConstructorError(None, None, found, event.start_mark)
        return yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{place or path}, line {mark.line + 1}" if mark else place or path
        raise refused(where, f"no YAML ({error.problem or error.context})", "YAML", "correct the line") from error
    except Exception as error:  # PyYAML's makers of numbers and dates raise what int and datetime do, and more
        raise refused(place or path, f"no YAML ({reason(error)})", "YAML", "correct it") from error


def read_json(path: Path, place: object = None, then: str = "correct it, or make it again") -> object:
    """What a JSON file holds. Raises ValueError naming file and line if it is none."""
    text = _text(path, place)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{place or path}, line {error.lineno}"
        raise refused(where, f"no JSON ({error.msg} at column {error.colno})", "JSON", then) from error
    except (RecursionError, ValueError) as error:
        raise refused(place or path, f"no JSON ({reason(error)})", "JSON", then) from error


KINDS = {
    date: "a day, such as 2026-11-28",
    dict: "a mapping",
    list: "a list",
    str: "text",
    float: "a number",
    int: "a whole number",
    bool: "true or false",
}


def check_keys(
    content: object, place: object, kinds: Mapping[str, type], required: tuple[str, ...], then: str
) -> dict[str, object]:
    """A document that is a mapping of keys that are known, each with a value of its type; returns it.

    kinds: each key's type, one of ``KINDS``; for float a whole number will do, but neither NaN nor infinity. Raises
    ValueError naming the key, and the known one that is nearest.
    """
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"{content!r:.60}"
        raise refused(place, found, f"a mapping of keys such as {', '.join(list(kinds)[:3])}", then)
    for key, value in content.items():
        if key not in kinds:
            raise refused(place, f"the key {key!r}", nearest(key, kinds, 1) or f"one of {', '.join(kinds)}", then)
        kind = kinds[key]
        sound = type(value) is kind or kind is float and type(value) is int
        if not sound or kind is float and not -math.inf < value < math.inf:  # nor NaN
            expected = f"{KINDS[kind]}{', in quotes if need be' if kind is str else ''}"
            raise refused(f"{place}, {key}", f"{value!r:.60} ({type(value).__name__})", expected, then)
    if lacking := [key for key in required if key not in content]:
        raise ValueError(f"{place}: lacks {', '.join(lacking)}; {then}")
    return content


def _text(path: Path, place: object) -> str:
    try:
        return regular(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"a byte that is no UTF-8 at place {error.start}"
        raise refused(place or path, found, "text in UTF-8", "save it so") from error
