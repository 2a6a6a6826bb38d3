"""The audit: on data made for it, against the definitions, in the committed lists, and (slow) on the real file."""

import csv
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_lib import paths
from fer_lib.__main__ import main
from fer_lib.data import SPLITS, Faces, audit, drawn_faces, ferplus
from fer_lib.data.emotions import FER2013
from fer_lib.report import figures, tables

MEASURED = {
    "rows": (28709, 3589, 3589, 35887),
    "different images": (27473, 3563, 3572, 34034),
    "images that occur more than once": (None, None, None, 1516),
    "rows that show such an image": (2703, 338, 328, 3369),
    "surplus rows, which repeat an earlier row": (1236, 296, 321, 1853),
    "test rows whose image stands in Training": (None, 280, 288, 568),
    "test rows whose image has another label in Training": (None, 13, 15, 28),
    "PrivateTest rows whose image stands in PublicTest": (None, None, 44, 44),
    "leaked rows: image in an earlier part": (None, 280, 314, 594),
    "clean rows: image in no earlier part": (None, 3309, 3275, 6584),
    "images with conflicting labels": (None, None, None, 57),
    "rows that show an image with conflicting labels": (127, 16, 17, 160),
    "flat images, one grey all over": (11, 1, 0, 12),
}
"""FER2013's figures, in Training, PublicTest, PrivateTest and all."""


def made(pictures, splits, labels=None, name="drawn_faces", official=False) -> Faces:
    """Faces of which those with the same number in ``pictures`` are equal; 0 is flat."""
    images = np.zeros((len(pictures), 48, 48), np.uint8)
    images[:, 47, 47] = pictures
    labels = np.zeros(len(pictures), np.uint8) if labels is None else np.array(labels, np.uint8)
    ids = np.arange(100, 100 + len(pictures), dtype=np.int32)
    source = {"file": "fer2013.csv", "md5": "f8428a1e", "official": official}
    return Faces(images, labels, np.array(splits, np.uint8), ids, name, "5ca1ab1e", source)


# pictures 1, 2, 3 stand in several parts; 2 has two labels; rows 2 and 6 are flat, of one grey
EXAMPLE = made([1, 2, 0, 2, 1, 3, 0, 2, 3, 4], [0, 0, 0, 0, 1, 1, 1, 2, 2, 2], [3, 0, 6, 5, 3, 1, 6, 0, 1, 4])


def counts(findings: list[dict]) -> dict[str, tuple]:
    assert len({line["finding"] for line in findings}) == len(findings)
    return {line["finding"]: tuple(line[key] for key in (*SPLITS, "all")) for line in findings}


def test_every_finding_of_an_example():
    assert counts(audit.summary(EXAMPLE)) == {
        "rows": (4, 3, 3, 10),
        "different images": (3, 3, 3, 5),
        "images that occur more than once": (None, None, None, 4),
        "rows that show such an image": (4, 3, 2, 9),
        "surplus rows, which repeat an earlier row": (1, 2, 2, 5),
        "test rows whose image stands in Training": (None, 2, 1, 3),
        "test rows whose image has another label in Training": (None, 0, 1, 1),
        "PrivateTest rows whose image stands in PublicTest": (None, None, 1, 1),
        "leaked rows: image in an earlier part": (None, 2, 2, 4),
        "clean rows: image in no earlier part": (None, 1, 1, 2),
        "images with conflicting labels": (None, None, None, 1),
        "rows that show an image with conflicting labels": (2, 0, 1, 3),
        "flat images, one grey all over": (1, 1, 0, 2),
    }


def test_row_lists_of_an_example_name_rows_by_their_ids():
    lists = audit.row_lists(EXAMPLE)
    assert [(r["group"], r["row"]) for r in lists["duplicates"]] == [
        (0, 100), (0, 104), (1, 101), (1, 103), (1, 107), (2, 102), (2, 106), (3, 105), (3, 108),
    ]  # fmt: skip
    assert [r["row"] for r in lists["duplicates"] if r["conflict"] == "yes"] == [101, 103, 107]
    assert lists["leaked"][2] == {
        "row": 107, "split": "PrivateTest", "emotion": "angry",
        "twin": 101, "twin_split": "Training", "twin_emotion": "angry", "contradicted": "yes",
    }  # fmt: skip
    assert [(r["row"], r["twin"], r["contradicted"]) for r in lists["leaked"] if r["row"] != 107] == [
        (104, 100, "no"), (106, 102, "no"), (108, 105, "no"),
    ]  # fmt: skip
    assert lists["flat"] == [
        {"row": 102, "split": "Training", "emotion": "neutral", "grey": 0},
        {"row": 106, "split": "PublicTest", "emotion": "neutral", "grey": 0},
    ]
    assert lists["clean_private_test"] == [{"row": 109}]


def test_the_earliest_twin_is_of_the_earliest_part_wherever_it_stands_in_the_file():
    assert audit.earliest_twins(made([5, 5, 5], [2, 0, 1])).tolist() == [1, 1, 1]


def test_clean_rows_are_those_whose_image_stands_in_no_earlier_split():
    # row 2 repeats Training's row 0, row 4 PublicTest's row 3, row 5 Training's row 1
    faces = made([1, 2, 1, 3, 3, 2], [0, 0, 1, 1, 2, 2])
    assert audit.clean_rows(faces).tolist() == [True, True, False, True, False, False]


UNKNOWN = 255  # the code of a part or a label that a file does not tell
ROW = st.tuples(st.integers(0, 4), st.sampled_from([0, 1, 2, UNKNOWN]), st.sampled_from([*range(7), UNKNOWN]))


@given(st.lists(ROW, min_size=1, max_size=15))
def test_marks_are_what_their_definitions_say_whatever_the_order(rows):
    pictures, splits, labels = zip(*rows)
    faces = made(pictures, splits, labels)
    marks = audit.marks(faces)
    assert audit.clean_rows(faces).tolist() == marks["clean"].tolist()
    for k, (picture, split, label) in enumerate(rows):
        same = [(s, j, y) for j, (p, s, y) in enumerate(rows) if p == picture]
        earlier = [(s, y) for s, _, y in same if s < split != UNKNOWN]
        others = {s for s, y in earlier if UNKNOWN not in (y, label) and y != label}
        assert marks["twin"][k] == min(same)[1]
        assert marks["group_size"][k] == len(same)
        assert marks["in_training"][k] == any(s == 0 for s, _ in earlier)
        assert marks["in_public_test"][k] == any(s == 1 for s, _ in earlier)
        assert marks["clean"][k] == (not earlier)
        assert marks["mislabelled_in_training"][k] == (0 in others)
        assert marks["contradicted"][k] == bool(others)
        assert marks["conflicting"][k] == (len({y for _, _, y in same} - {UNKNOWN}) > 1)
        assert marks["flat"][k] == (picture == 0)


def test_data_without_labels_or_parts_is_audited_as_far_as_it_goes(tmp_path):
    faces = made([1, 1, 1, 0], [UNKNOWN] * 4, [UNKNOWN] * 4)
    all_counts = counts(audit.summary(faces))
    assert (
        all_counts["images that occur more than once"][-1] == 1
        and all_counts["flat images, one grey all over"][-1] == 1
    )
    assert all_counts["leaked rows: image in an earlier part"] == (None, 0, 0, 0)
    audit.write(faces, tmp_path)
    assert (tmp_path / "flat.csv").read_text().splitlines()[1:] == ["103,,,0"]


def test_drawn_faces_have_nothing_wrong():
    faces = drawn_faces.load(280, 70, 70)
    summary = audit.summary(faces)
    assert {finding: numbers[-1] for finding, numbers in counts(summary).items() if numbers[-1]} == {
        "rows": 420, "different images": 420, "clean rows: image in no earlier part": 140,
    }  # fmt: skip
    assert "| surplus rows, which repeat an earlier row | 0 | 0 | 0 | 0 |" in tables.audit(summary)
    assert [bar.get_height() for bar in figures.leakage(faces).axes[0].patches] == [0] * 14


def test_the_leakage_figure_shows_shares_of_each_emotion():
    heights = [bar.get_height() for bar in figures.leakage(EXAMPLE).axes[0].patches]
    assert heights[3] == 100 and heights[1] == 0  # PublicTest: the happy face leaks, the disgusted one does not
    assert heights[7:9] == [100, 100] and heights[11] == 0  # PrivateTest: angry and disgusted leak, the sad one not


def test_only_the_official_file_s_lists_are_committed():
    assert audit.folder(made([1], [0], name="fer2013", official=True)) == paths.RESULTS / "audit"
    for other in (made([1], [0], name="fer2013"), made([1], [0])):
        assert audit.folder(other) == paths.RESULTS / "local" / "audit"


def rows_of(path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_written_lists_come_back(tmp_path):
    audit.write(EXAMPLE, tmp_path / "audit")
    for name, rows in (audit.row_lists(EXAMPLE) | {"summary": audit.summary(EXAMPLE)}).items():
        expected = [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]
        assert rows_of(tmp_path / "audit" / f"{name}.csv") == expected
    names = {"summary.csv", "duplicates.csv", "leaked.csv", "flat.csv", "clean_private_test.csv", "README.md"}
    assert {path.name for path in (tmp_path / "audit").iterdir()} == names
    assert "10 rows, MD5 `f8428a1e`" in (tmp_path / "audit" / "README.md").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["audit"]


def test_lists_without_a_row_have_a_header(tmp_path):
    audit.write(made([1], [0]), tmp_path)
    assert (tmp_path / "flat.csv").read_text() == "row,split,emotion,grey\n"


def test_an_interrupted_audit_leaves_what_was_there(tmp_path, monkeypatch):
    audit.write(EXAMPLE, tmp_path / "audit")
    before = {path.name: path.read_bytes() for path in (tmp_path / "audit").iterdir()}

    def interrupted(faces):
        raise KeyboardInterrupt

    monkeypatch.setattr(audit, "_readme", interrupted)  # the last file of those written
    with pytest.raises(KeyboardInterrupt):
        audit.write(made([1, 1], [0, 1]), tmp_path / "audit")
    assert {path.name: path.read_bytes() for path in (tmp_path / "audit").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["audit"]


def test_the_verb_writes_other_data_s_lists_where_git_does_not_look(tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "x.npz", pixels=EXAMPLE.images, emotion=EXAMPLE.labels, usage=EXAMPLE.split)
    monkeypatch.setenv("FER2013", str(tmp_path / "x.npz"))
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    with pytest.warns(UserWarning, match="not the official FER2013"):
        assert main(["audit"]) == 0
    written = tmp_path / "results" / "local" / "audit"
    assert [row["row"] for row in rows_of(written / "flat.csv")] == ["2", "6"]
    assert not (tmp_path / "results" / "audit").exists()
    out = capsys.readouterr().out
    assert "| flat images, one grey all over " in out and "results/local/audit/" in out


def test_without_fer2013_the_verb_says_how_to_get_it(capsys):
    assert main(["audit"]) == 1
    assert "error: FER2013 is not here" in capsys.readouterr().err


# ---- the committed lists of the official file, by themselves


@pytest.fixture(scope="module")
def committed() -> dict[str, list[dict]]:
    return {path.stem: rows_of(path) for path in (paths.RESULTS / "audit").glob("*.csv")}


def test_the_committed_summary_holds_the_known_figures(committed):
    summary = [{k: int(v) if v.isdigit() else v or None for k, v in line.items()} for line in committed["summary"]]
    assert counts(summary) == MEASURED


def test_the_committed_lists_hold_the_known_figures(committed):
    duplicates, leaked = committed["duplicates"], committed["leaked"]
    groups = {row["group"] for row in duplicates}
    assert (len(groups), len(duplicates) - len(groups)) == (1516, 1853)
    conflicting = [row for row in duplicates if row["conflict"] == "yes"]
    assert (len({row["group"] for row in conflicting}), len(conflicting)) == (57, 160)
    from_training = [row for row in leaked if row["twin_split"] == "Training"]
    assert Counter(row["split"] for row in from_training) == {"PublicTest": 280, "PrivateTest": 288}
    assert sum(row["contradicted"] == "yes" for row in from_training) == 28
    assert Counter(row["split"] for row in leaked) == {"PublicTest": 280, "PrivateTest": 314}
    assert Counter(row["split"] for row in committed["flat"]) == {"Training": 11, "PublicTest": 1}
    assert len(committed["clean_private_test"]) == 3275


def test_the_committed_lists_agree_with_each_other(committed):
    group_of = {row["row"]: row["group"] for row in committed["duplicates"]}
    labels = {}
    for row in committed["duplicates"]:
        labels.setdefault(row["group"], set()).add(row["emotion"])
    assert all((row["conflict"] == "yes") == (len(labels[row["group"]]) > 1) for row in committed["duplicates"])
    assert all(group_of[row["row"]] == group_of[row["twin"]] for row in committed["leaked"])
    in_training = {row["group"] for row in committed["duplicates"] if row["split"] == "Training"}
    in_public = {row["group"] for row in committed["duplicates"] if row["split"] == "PublicTest"}
    private = [row for row in committed["duplicates"] if row["split"] == "PrivateTest"]
    assert sum(row["group"] in in_public for row in private) == 44
    leaked = {row["row"] for row in private if row["group"] in in_training | in_public}
    clean = {row["row"] for row in committed["clean_private_test"]}
    assert clean == {str(row) for row in range(32298, 35887)} - leaked
    assert {row["emotion"] for row in committed["duplicates"]} <= set(FER2013)
    assert {row["split"] for row in committed["duplicates"]} == set(SPLITS)


def test_the_committed_lists_say_what_they_were_made_from():
    assert "35,887 rows, MD5 `f8428a1edbd21e88f42c73edd2a14f95`" in (paths.RESULTS / "audit" / "README.md").read_text()


# ---- the real file


@pytest.mark.slow
def test_the_real_file_gives_the_known_figures(fer2013_faces):
    assert counts(audit.summary(fer2013_faces)) == MEASURED


@pytest.mark.slow
def test_the_real_file_gives_the_committed_lists_byte_for_byte(fer2013_faces, tmp_path):
    audit.write(fer2013_faces, tmp_path / "audit")
    written = {path.name: path.read_bytes() for path in (tmp_path / "audit").iterdir()}
    others = {"near_duplicates.csv", "several_emotions.csv"}  # which the verb writes beside these
    committed = {path.name: path.read_bytes() for path in (paths.RESULTS / "audit").iterdir()}
    assert written == {name: content for name, content in committed.items() if name not in others}


def test_the_real_faces_with_several_emotions_are_those_listed(fer2013_faces, ferplus_csv, monkeypatch):
    monkeypatch.setenv("FERPLUS", str(ferplus_csv))
    several = ferplus.several(ferplus.counts_for(fer2013_faces)) & (fer2013_faces.split > 0)
    listed = [int(row["row"]) for row in rows_of(paths.RESULTS / "audit" / "several_emotions.csv")]
    assert fer2013_faces.ids[several].tolist() == listed


@pytest.mark.slow
def test_of_fer2013_3275_privatetest_rows_are_clean(fer2013_faces):
    clean = audit.clean_rows(fer2013_faces)
    assert (clean & (fer2013_faces.split == 2)).sum() == 3275
    assert (~clean & (fer2013_faces.split == 1)).sum() == 280
