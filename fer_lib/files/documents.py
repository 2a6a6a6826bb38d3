"""YAML and JSON."""

import json
from pathlib import Path

from . import reason, refused


def read_yaml(path: Path, place: object = None) -> object:
    """What a YAML file holds. Raises ValueError naming file and line if it is none, or has a key twice."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # libyaml's, where PyYAML has it: five times as fast
        """Refuses what YAML forbids and PyYAML takes: a key that occurs twice, of which the last would count."""

        def construct_mapping(self, node, deep=False):
            seen = set()
            for key, _ in node.value:
                if key.tag == "tag:yaml.org,2002:merge":  # may occur more than once
                    continue
                if key.value in seen if isinstance(key.value, str) else False:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} again", key.start_mark)
                seen.add(key.value if isinstance(key.value, str) else id(key))
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(_text(path, place), Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{place or path}, line {mark.line + 1}" if mark else place or path
        raise refused(where, f"no YAML ({error.problem or error.context})", "YAML", "correct the line") from error
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:
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


def _text(path: Path, place: object) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"a byte that is no UTF-8 at place {error.start}"
        raise refused(place or path, found, "text in UTF-8", "save it so") from error
