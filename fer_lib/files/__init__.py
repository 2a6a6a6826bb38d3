"""Files from outside and to outside, each kind read or written in one place.

- ``pictures`` decodes pictures and puts them, and a video's frames, upright;
- ``arrays`` opens NumPy's ``.npz`` and ``.npy``;
- ``tables`` parses CSV and its relatives;
- ``documents`` parses YAML and JSON;
- ``writing`` writes files whole, or alone.

Each raises only ValueError in the form of ``refused``, or OSError where the system refuses. This package imports
nothing else of ``fer_lib``.
"""


def refused(place: object, found: str, expected: str, then: str) -> ValueError:
    """The error for bad data, in the usual form: where, what was found, what was expected, the next step."""
    return ValueError(f"{place}: found {found}, expected {expected}; {then}")


def reason(error: BaseException) -> str:
    """What an error of another package says, on one line of at most 200 characters; its type where it says nothing."""
    text = " ".join(str(error).split())
    return f"{text[:200]}..." if len(text) > 200 else text or type(error).__name__
