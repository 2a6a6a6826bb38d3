"""YAML and JSON: what is right is read, and whatever is wrong is a ValueError that names the file and the line."""

import json
import math
import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_lib import paths
from fer_lib.files import documents


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("documents") / "x.yaml"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing\n", None),
        ("\ufeffa: 1\n", {"a": 1}),  # as Windows' editor saves it
        ("a: 1\r\nb: [x, 2.5]\r\n", {"a": 1, "b": ["x", 2.5]}),
        ("on: 2026-11-28\n", {True: date(2026, 11, 28)}),
        ("a: é–\n", {"a": "é–"}),
        ("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\n", {"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}}),
        (f"{'[' * 100}1{']' * 100}", eval(f"{'[' * 100}1{']' * 100}")),
    ],
)
def test_yaml_is_read(file, text, value):
    file.write_text(text, encoding="utf-8", newline="")
    assert documents.read_yaml(file) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1\n", "x.yaml, line 3: found no YAML (did not find expected ',' or ']'), expected YAML; correct"),
        ("a: 1\nb: 2\na: 3\n", "x.yaml, line 3: found no YAML ('a' again), expected YAML; correct the line"),
        ("a: {b: 1, b: 2}\n", "x.yaml, line 1: found no YAML ('b' again)"),
        ("a: 1\n\tb: 2\n", "x.yaml, line 2: found no YAML"),
        ("? [1, 2]\n: a\n", "x.yaml, line 1: found no YAML (found unhashable key)"),
        ("a: *none\n", "x.yaml, line 1: found no YAML (found undefined alias)"),
        ("a\n---\nb\n", "x.yaml, line 2: found no YAML (but found another document)"),
        ("a: !!python/object:os.system x\n", "x.yaml, line 1: found no YAML (could not determine a constructor"),
        ("a: 2026-13-45\n", "x.yaml: found no YAML (month must be in 1..12), expected YAML; correct it"),
        ("a: !!timestamp x\n", "x.yaml: found no YAML"),
        ("a: !!int ''\n", "x.yaml: found no YAML"),
        (f"a: {'1' * 5000}\n", "x.yaml: found no YAML (Exceeds the limit"),
        ("a: \0\n", "x.yaml: found no YAML"),
        ("[" * 10**5, "x.yaml, line 1: found no YAML (more than 100 lists or mappings within each other)"),
        ("- " * 10**5, "x.yaml, line 1: found no YAML (more than 100 lists or mappings within each other)"),
        ("{a: " * 10**5, "x.yaml, line 1: found no YAML (more than 100 lists or mappings within each other)"),
        (b"a: \xff\n", "x.yaml: found a byte that is no UTF-8 at place 3, expected text in UTF-8; save it so"),
    ],
    ids=range(17),
)
def test_what_is_wrong_with_yaml_is_told_with_its_place(file, text, message):
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        documents.read_yaml(file)
    assert str(raised.value).startswith(str(file)) and "\n" not in str(raised.value)
    with pytest.raises(ValueError, match=re.escape(f"the claims{message.removeprefix('x.yaml')}")):
        documents.read_yaml(file, "the claims")


JSON = [
    ('{"a": 1,\n "b": }', "x.yaml, line 2: found no JSON (Expecting value at column 7), expected JSON; make it again"),
    ("", "x.yaml, line 1: found no JSON"),
    ("[" * 10**5, "x.yaml: found no JSON (maximum recursion depth exceeded"),
    ("1" * 5000, "x.yaml: found no JSON (Exceeds the limit"),
    (b'{"a": "\xff"}', "x.yaml: found a byte that is no UTF-8 at place 7"),
]


@pytest.mark.parametrize(("text", "message"), JSON, ids=range(len(JSON)))
def test_what_is_wrong_with_json_is_told_with_its_place(file, text, message):
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=re.escape(message)):
        documents.read_json(file, then="make it again")


def test_json_is_read(file):
    file.write_text('\ufeff{"a": [1, 2.5, null, "é"], "b": NaN}', encoding="utf-8")
    read = documents.read_json(file)
    assert read["a"] == [1, 2.5, None, "é"] and math.isnan(read["b"])


@given(st.one_of(st.binary(max_size=60), st.text("ab01:-?[]{},&*!<>|%@`'\"# \n\t.e+_~=", max_size=60).map(str.encode)))
def test_any_bytes_are_a_document_or_a_value_error_with_the_name(file, content):
    file.write_bytes(content)
    for read in (documents.read_yaml, documents.read_json):
        try:
            read(file)
        except ValueError as error:
            assert str(error).startswith(str(file)) and ": found " in str(error)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_what_was_written_is_read(file, value):
    file.write_text(json.dumps(value))
    assert documents.read_json(file) == value


def test_a_file_that_is_not_there_is_the_systems_error(tmp_path):
    for read in (documents.read_yaml, documents.read_json):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")


def test_every_document_of_the_project_is_read():
    folders = (paths.EXPERIMENTS, paths.CLAIMS, paths.ROOT / "profiles")
    files = [path for folder in folders for path in folder.rglob("*.yaml")]
    assert len(files) > 80
    for path in files:
        assert documents.read_yaml(path)
    for path in paths.CLAIMS.rglob("*.json"):
        assert documents.read_json(path)


KINDS = {"title": str, "order": int, "share": float, "heavy": bool, "parts": list, "parameters": dict}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"titel": "x"}, "p: found the key 'titel', expected title; see x"),
        ({"": "x"}, "p: found the key '', expected one of title, order, share, heavy, parts, parameters; see x"),
        ({1: "x"}, "p: found the key 1, expected one of title"),
        ({"title": 3}, "p, title: found 3 (int), expected text, in quotes if need be; see x"),
        ({"title": False}, "p, title: found False (bool), expected text, in quotes if need be; see x"),
        ({"order": True}, "p, order: found True (bool), expected a whole number; see x"),
        ({"order": 1.0}, "p, order: found 1.0 (float), expected a whole number; see x"),
        ({"share": "1e-3"}, "p, share: found '1e-3' (str), expected a number; see x"),
        ({"heavy": "no"}, "p, heavy: found 'no' (str), expected true or false; see x"),
        ({"parameters": [1]}, "p, parameters: found [1] (list), expected a mapping; see x"),
        ({"parts": None}, "p, parts: found None (NoneType), expected a list; see x"),
        ([1], "p: found [1], expected a mapping of keys such as title, order, share; see x"),
        (None, "p: found nothing, expected a mapping of keys such as title, order, share; see x"),
        ({"heavy": True}, "p: lacks title, order; see x"),
    ],
)
def test_keys_and_their_types_are_checked(content, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        documents.check_keys(content, "p", KINDS, ("title", "order"), "see x")


def test_right_keys_pass():
    content = {"title": "x", "order": 1, "share": 1, "heavy": False, "parts": [], "parameters": {}}
    assert documents.check_keys(content, "p", KINDS, ("title",), "see x") is content
