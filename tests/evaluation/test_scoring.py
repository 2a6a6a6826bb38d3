"""Scoring anybody's predictions: files whose score is known, figures against scikit-learn, every bad file, no Keras."""

import csv
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_records import faces as made_up_faces
from made_up_records import network
from sklearn import metrics as sklearn_metrics

from fer_lib import paths, system
from fer_lib.__main__ import main
from fer_lib.data import Faces, ferplus
from fer_lib.data.emotions import FER2013
from fer_lib.evaluation import calibration, metrics, prediction_files, records, scoring, statistics

RUNS = paths.RESULTS / "runs"
TEST_SETS = ["PublicTest", "PrivateTest", "PublicTest+PrivateTest"]
TEST_SETS += ["PrivateTest clean", "PrivateTest near-clean", "PrivateTest leaked"]


def listed(name: str) -> list[dict]:
    """The rows of a committed list of the audit."""
    with open(paths.RESULTS / "audit" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def numbered(count: int) -> np.ndarray:
    """So many images, no two the same."""
    images = np.zeros((count, 48, 48), np.uint8)
    images[:, 0, :4] = np.arange(count, dtype=np.uint32)[:, None].view(np.uint8)
    return images


@pytest.fixture(scope="module")
def official() -> Faces:
    """The official file's 7,178 test rows without its pictures: ids, labels and splits as every committed record has
    them, images that are equal where the committed audit says so, and beside them one row of Training for each twin."""
    with np.load(RUNS / "saravanan2019/table1_simple_cnn/tensorflow-seed0/predictions.npz") as arrays:
        test, test_labels, test_split = arrays["ids"], arrays["labels"], arrays["split"]
    twin_of = {int(row["row"]): int(row["twin"]) for row in listed("leaked")}
    training = np.unique([twin for twin in twin_of.values() if twin < 28709])
    ids = np.concatenate([training, test]).astype(np.int32)
    labels = np.concatenate([np.zeros(len(training)), test_labels]).astype(np.uint8)
    split = np.concatenate([np.zeros(len(training)), test_split]).astype(np.uint8)
    images = numbered(len(ids))
    images[[np.searchsorted(ids, row) for row in twin_of]] = images[[np.searchsorted(ids, t) for t in twin_of.values()]]
    return Faces(images, labels, split, ids, "fer2013", "bb183fb6", {"file": "fer2013.csv", "official": True})


def written(path, rows, values, columns="emotion") -> str:
    lines = [",".join(map(str, [row, *np.atleast_1d(value)])) for row, value in zip(rows, values)]
    path.write_text("\n".join([f"row,{columns}", *lines]) + "\n")
    return str(path)


def scores(file, faces, counts=None) -> dict:
    return scoring.score(prediction_files.read(file, faces), faces, scoring.sets(faces, counts))


# ---- known answers


def test_always_happy_is_right_1774_times(official, tmp_path):
    rows = official.ids[official.split > 0]
    found = scores(written(tmp_path / "x.csv", rows, ["happy"] * len(rows)), official)
    assert list(found["sets"]) == TEST_SETS and found["not_covered"] == {}
    assert [found["sets"][name]["correct"] for name in TEST_SETS[:3]] == [895, 879, 1774]
    assert [found["sets"][name]["n"] for name in TEST_SETS] == [3589, 3589, 7178, 3275, 3156, 314]
    # 2,755 in the whole file: most of its near-duplicates have their partner in Training rows that are not here
    both = found["sets"]["PublicTest+PrivateTest"]
    assert both["interval"] == statistics.wilson(1774, 7178)
    assert both["balanced_accuracy"] == pytest.approx(1 / 7)
    assert both["macro_f1"] == pytest.approx(2 * 1774 / (1774 + 7178) / 7)
    assert both["recall"]["happy"] == {
        "n": 1774,
        "correct": 1774,
        "recall": 1.0,
        "interval": (statistics.wilson(1774, 1774)),
    }
    assert both["recall"]["fear"]["recall"] == 0
    assert both["predicted"] == {name: 7178 * (name == "happy") for name in FER2013}
    assert "log_loss" not in both


@pytest.mark.parametrize("names", [True, False], ids=["names", "codes"])
def test_the_labels_themselves_are_right_everywhere(official, tmp_path, names):
    test = official.select(official.rows("PublicTest+PrivateTest"))
    values = [FER2013[label] if names else label for label in test.labels]
    found = scores(written(tmp_path / "x.csv", test.ids, values), official)
    for score in found["sets"].values():
        assert score["accuracy"] == score["balanced_accuracy"] == score["macro_f1"] == 1
    assert found["leaked_minus_clean"]["difference"] == 0


@pytest.mark.parametrize(
    "run",
    [
        "saravanan2019/table1_decision_tree_fixed_split/sklearn-seed0",
        "saravanan2019/table1_feedforward/tensorflow-seed1",
        "ours/feedforward_float32/tensorflow-seed0",
    ],
)
def test_a_committed_record_s_predictions_give_its_accuracies(official, run):
    record = records.read(RUNS / run)
    for epoch, reading in record["metrics"].items():
        found = scores(f"{RUNS / run}/predictions.npz:{epoch}", official)
        assert found["file"].endswith(f"predictions.npz, {epoch} epoch")
        for name in TEST_SETS[:4]:
            score = found["sets"][name]
            assert (score["n"], score["correct"]) == (reading[name]["n"], reading[name]["correct"])
            assert score["accuracy"] == reading[name]["accuracy"]
            assert list(score["predicted"].values()) == reading[name]["predicted"]
            assert [score["recall"][emotion]["recall"] for emotion in FER2013] == reading[name]["recall"]


def test_a_tree_knows_the_leaked_rows_by_heart(official):
    found = scores(f"{RUNS}/saravanan2019/table1_decision_tree_fixed_split/sklearn-seed0/predictions.npz", official)
    leaked, clean = (found["sets"][f"PrivateTest {rows}"]["accuracy"] for rows in ("leaked", "clean"))
    assert found["leaked_minus_clean"]["difference"] == pytest.approx(leaked - clean)
    assert found["leaked_minus_clean"]["interval"][0] > 0.25


def test_levels_of_agreement_divide_privatetest(official, tmp_path, ferplus_csv, monkeypatch):
    monkeypatch.setenv("FERPLUS", str(ferplus_csv))
    test = official.select(official.rows("PublicTest+PrivateTest"))
    file = written(tmp_path / "x.csv", test.ids, test.labels)
    report = scoring.score_files([file], official)
    levels = {name: score for name, score in report["files"][0]["sets"].items() if "agree" in name}
    assert [score["n"] for score in levels.values()] == [739, 1226, 1041, 583]
    assert list(report["worth"]) == [*TEST_SETS, *levels]
    assert report["ferplus"] == {"file": "fer2013new.csv", "md5": system.file_hash(ferplus_csv, "md5")}
    taggers = report["files"][0]["taggers"]["PrivateTest"]
    assert taggers["agreement"] == pytest.approx(taggers["agreement_of_label"])  # these answers are the labels
    assert taggers["agreement_at_most"] > taggers["agreement"] + 0.15
    text = scoring.markdown(report)
    assert f"| PrivateTest            | {taggers['n']:,} | " in text
    assert "PrivateTest, 6 to 9 of 10 taggers agree | 1,226 |" in text and "left out" not in text


def test_predictions_are_held_against_the_taggers():
    counts = np.zeros((4, 10), np.uint8)
    for row, chosen in enumerate([{"anger": 10}, {"anger": 6, "fear": 4}, {"anger": 2, "contempt": 8}, {"NF": 10}]):
        for column, count in chosen.items():
            counts[row, ferplus.COLUMNS.index(column)] = count
    angry, fear = FER2013.index("angry"), FER2013.index("fear")
    labels, rows = np.full(4, fear), np.ones(4, bool)
    sure = np.eye(7)[[angry, fear, angry, angry]]
    found = scoring.against_taggers({"classes": sure.argmax(axis=1), "probabilities": sure}, labels, counts, rows)
    assert found["n"] == 3  # nobody saw one of the seven in the last row; contempt counts for nothing
    assert found["agreement"] == pytest.approx((1 + 0.4 + 1) / 3)
    assert found["agreement_of_label"] == pytest.approx(0.4 / 3)
    assert found["agreement_at_most"] == pytest.approx((1 + 0.6 + 1) / 3)
    missed = 0.6 * np.log(0.6 / metrics.EPSILON) + 0.4 * np.log(0.4)
    assert found["divergence"] == pytest.approx(missed / 3, rel=1e-6)
    shares = np.array([[1, 0], [0.6, 0.4], [1, 0], [1, 0]]) @ np.eye(7)[[angry, fear]]
    alike = scoring.against_taggers({"classes": shares.argmax(axis=1), "probabilities": shares}, labels, counts, rows)
    assert alike["divergence"] == pytest.approx(0, abs=1e-5) and alike["agreement"] == alike["agreement_at_most"]
    assert "divergence" not in scoring.against_taggers({"classes": labels, "probabilities": None}, labels, counts, rows)


def test_without_ferplus_one_line_says_how_to_add_it(official, tmp_path):
    test = official.select(official.rows("PublicTest+PrivateTest"))
    report = scoring.score_files([written(tmp_path / "x.csv", test.ids, test.labels)], official)
    assert list(report["files"][0]["sets"]) == TEST_SETS
    (line,) = [line for line in scoring.markdown(report).splitlines() if "taggers" in line]
    assert "left out" in line and "set FERPLUS=PATH" in line


# ---- figures


def test_figures_equal_those_of_scikit_learn(tmp_path):
    data = made_up_faces()
    rng = np.random.default_rng(1)
    p = rng.dirichlet([0.3] * 7, len(data)).round(6)
    p /= p.sum(axis=1, keepdims=True)
    found = scores(written(tmp_path / "x.csv", data.ids, p, ",".join(FER2013)), data)
    assert found["training_rows"] == 70
    score, rows = found["sets"]["PrivateTest"], data.split == 2
    true, answered = data.labels[rows], p[rows].argmax(axis=1)
    assert score["accuracy"] == sklearn_metrics.accuracy_score(true, answered)
    assert score["balanced_accuracy"] == pytest.approx(sklearn_metrics.balanced_accuracy_score(true, answered))
    assert score["macro_f1"] == pytest.approx(sklearn_metrics.f1_score(true, answered, average="macro"))
    clipped = np.clip(p[rows], 1e-7, 1)
    clipped /= clipped.sum(axis=1, keepdims=True)
    assert score["log_loss"] == pytest.approx(sklearn_metrics.log_loss(true, clipped, labels=range(7)), abs=1e-5)


def test_macro_f1_leaves_out_what_is_neither_there_nor_predicted():
    labels, classes = np.array([0, 0, 1, 2]), np.array([0, 3, 1, 1], np.int16)
    score = scoring.score_set({"classes": classes, "probabilities": None}, labels, np.arange(4))
    assert score["macro_f1"] == pytest.approx(
        sklearn_metrics.f1_score(labels, classes, average="macro", zero_division=0)
    )
    assert score["balanced_accuracy"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert list(score["recall"]) == ["angry", "disgust", "fear"]


def test_log_loss_of_a_certain_wrong_answer_is_finite(tmp_path):
    data = made_up_faces()
    p = np.eye(7)[(data.labels + 1) % 7]
    found = scores(written(tmp_path / "x.csv", data.ids, p, ",".join(FER2013)), data)
    assert found["sets"]["PublicTest"]["log_loss"] == pytest.approx(-np.log(1e-7))
    assert found["sets"]["PublicTest"]["calibration_error"] == 1


def test_calibration_error_by_hand():
    # two bins: four answers at 0.9, three right: gap 0.15; two at 0.5, both right: gap 0.5
    confidence, right = np.array([0.9] * 4 + [0.5] * 2), np.array([1, 1, 1, 0, 1, 1], bool)
    assert calibration.calibration_error(confidence, right) == pytest.approx((4 * 0.15 + 2 * 0.5) / 6)
    assert calibration.calibration_error(np.ones(3), np.ones(3, bool)) == 0


def test_the_temperature_is_what_logits_were_multiplied_by():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 7)).astype(np.float32)
    labels = np.array([rng.choice(7, p=p / p.sum()) for p in metrics.probabilities(logits).astype(float)])
    for factor in (0.4, 1.0, 3.0):
        assert calibration.temperature(logits * np.float32(factor), labels) == pytest.approx(factor, rel=0.03)
    with pytest.raises(ValueError, match="labels: found no row, expected some to fit a temperature to"):
        calibration.temperature(logits[:0], labels[:0])


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_the_rows_changes_nothing(tmp_path, random, with_probabilities):
    data = made_up_faces()
    rng = np.random.default_rng(random.randrange(2**32))
    p = rng.dirichlet([1] * 7, len(data))
    values, columns = (p, ",".join(FER2013)) if with_probabilities else (p.argmax(axis=1), "emotion")
    shuffled, turned = rng.permutation(len(data)), data.select(rng.permutation(len(data)))
    straight = scores(written(tmp_path / "x.csv", data.ids, values, columns), data)
    file = written(tmp_path / "x.csv", data.ids[shuffled], values[shuffled], columns)
    assert scores(file, data) == straight
    again = scores(file, turned)["sets"]
    assert {name: (score["n"], score["correct"], score["recall"]) for name, score in again.items()} == {
        name: (score["n"], score["correct"], score["recall"]) for name, score in straight["sets"].items()
    }


# ---- what is covered


def test_a_file_of_privatetest_alone_is_scored_on_that(official, tmp_path):
    rows = official.ids[official.split == 2]
    found = scores(written(tmp_path / "x.csv", rows, [0] * 3589), official)
    assert list(found["sets"]) == ["PrivateTest", "PrivateTest clean", "PrivateTest near-clean", "PrivateTest leaked"]
    assert found["not_covered"]["PublicTest"] == {"present": 0, "n": 3589}
    data = {"source": official.source}
    report = {"data": data, "files": [found], "comparison": None, "worth": {}, "ferplus": {}}
    assert "Not covered: PublicTest (0 of 3,589 rows are there), PublicTest+PrivateTest (3,589 of" in scoring.markdown(
        report
    )


def test_a_set_that_lacks_a_row_is_not_scored(official, tmp_path):
    rows = official.ids[official.split > 0][:-1]
    found = scores(written(tmp_path / "x.csv", rows, [0] * len(rows)), official)
    assert found["not_covered"]["PrivateTest"] == {"present": 3588, "n": 3589}
    assert "PublicTest" in found["sets"] and "PrivateTest" not in found["sets"]


def test_the_clean_rows_alone_are_a_set(official, tmp_path):
    rows = [row["row"] for row in listed("clean_private_test")]
    found = scores(written(tmp_path / "x.csv", rows, ["fear"] * len(rows)), official)
    assert list(found["sets"]) == ["PrivateTest clean", "PrivateTest near-clean"]


def test_training_rows_alone_are_no_test(official, tmp_path):
    rows = official.ids[official.split == 0]
    with pytest.raises(
        ValueError,
        match="0 of 3,589 rows of PublicTest, 0 of 3,589 rows of PrivateTest among rows .* to 28665, expected",
    ):
        scores(written(tmp_path / "x.csv", rows, [0] * len(rows)), official)


def test_data_without_labels_or_training_offers_the_sets_that_it_has():
    data = made_up_faces()
    assert list(scoring.sets(data.select(data.rows("PrivateTest")))) == ["PrivateTest"]
    unlabelled = Faces(
        data.images, np.where(data.split == 2, 255, data.labels).astype(np.uint8), data.split, data.ids, "fer2013", ""
    )
    assert list(scoring.sets(unlabelled)) == ["PublicTest"]


# ---- two files


def test_two_networks_are_compared_row_by_row(official, tmp_path):
    test = official.select(official.rows("PublicTest+PrivateTest"))
    wrong = (test.labels + 1) % 7
    place = np.arange(len(test))
    first = written(tmp_path / "a.csv", test.ids, np.where(place % 3 == 0, wrong, test.labels))
    second = written(tmp_path / "b.csv", test.ids, np.where(place % 5 == 0, wrong, test.labels))
    report = scoring.score_files([first, second], official)
    found = report["comparison"]["PublicTest+PrivateTest"]
    third, fifth = place % 3 == 0, place % 5 == 0
    counts = (~third & ~fifth).sum(), (fifth & ~third).sum(), (third & ~fifth).sum(), (third & fifth).sum()
    assert tuple(found[key] for key in ("both_right", "only_first", "only_second", "both_wrong")) == counts
    assert found["difference"] == pytest.approx((third.sum() - fifth.sum()) / 7178)
    assert found["mcnemar_p"] == statistics.mcnemar(~third, ~fifth)
    assert found["interval"] == statistics.accuracy_difference(~third, ~fifth)[1:]
    text = scoring.markdown(report)
    assert f"- first: {first}\n- second: {second}\n" in text and "McNemar's exact p" in text
    assert f"{100 * found['difference']:+.2f}" in text


def test_a_network_does_not_differ_from_itself(official, tmp_path):
    file = written(tmp_path / "a.csv", official.ids, official.labels)
    for found in scoring.score_files([file, file], official)["comparison"].values():
        assert (found["difference"], found["interval"], found["mcnemar_p"]) == (0, (0, 0), 1)


def test_two_networks_on_different_sets_are_not_compared(official, tmp_path):
    files = [written(tmp_path / f"{split}.csv", official.ids[official.split == split], [0] * 3589) for split in (1, 2)]
    with pytest.raises(ValueError, match=r"1.csv and .*2.csv: found no set that both predict in full"):
        scoring.score_files(files, official)


# ---- bad files

P = "angry,disgust,fear,happy,sad,surprise,neutral"
BAD = {
    "empty": ("", "x.csv: found an empty file, expected a column row, and either emotion or"),
    "no rows": ("row,emotion\n", "x.csv, line 2: found no row,"),
    "no row column": ("emotion,pixels,Usage\n0,1 2,Training\n", "line 1: found the columns 'emotion,pixels,Usage'"),
    "another delimiter": ("row|emotion\n70|0\n", r"line 1: found the columns 'row\|emotion', .*; name the columns so"),
    "neither answer": ("row,answer\n70,0\n", "line 1: found the columns 'row,answer'"),
    "column twice": ("row,emotion,Emotion\n70,0,0\n", "line 1: found the columns .*once each"),
    "both answers": (f"row,emotion,{P}\n", "line 1: found emotion and angry, .* expected one or the other"),
    "six columns": ("row,angry,disgust,fear,happy,sad,surprise\n", "line 1: found no column neutral"),
    "row twice": ("row,emotion\n70,0\n71,0\n70,1\n", "line 4: found row 70 again, expected it in line 2 only"),
    "unknown row": ("row,emotion\n70,0\n420,0\n", "line 3: found row '420', expected a row of FER2013's CSV, 0 to 419"),
    "negative row": ("row,emotion\n-1,0\n", "line 2: found row '-1'"),
    "row of no number": ("row,emotion\nfer0000000.png,0\n", "line 2: found row 'fer0000000.png'"),
    "huge row": (f"row,emotion\n{'9' * 5000},0\n", "line 2: found row '999"),
    "unknown emotion": ("row,emotion\n70,contempt\n", "line 2: found emotion 'contempt', expected one of angry, dis"),
    "code 7": ("row,emotion\n70,7\n", "line 2: found emotion '7', .* or 0 to 6"),
    "no emotion": ("row,emotion\n70,\n", "line 2: found emotion ''"),
    "short line": ("row,emotion\n70\n", "line 2: found 1 fields, expected 2"),
    "logits": (f"row,{P}\n70,2.5,0,0,0,0,0,0\n", "line 2: found angry 2.5, .* apply softmax"),
    "negative": (f"row,{P}\n70,1,0,0,0,0,-0.1,0.1\n", "line 2: found surprise -0.1"),
    "not a number": (f"row,{P}\n70,nan,0,0,0,0,0,1\n", "line 2: found angry 'nan', expected a number from 0 to 1"),
    "infinite": (f"row,{P}\n70,0,0,0,inf,0,0,1\n", "line 2: found happy inf, expected a probability from 0 to 1"),
    "infinite, in digits": (f"row,{P}\n70,0,0,0,1e999,0,0,1\n", "line 2: found happy inf, expected a probability"),
    "fraction of a row": ("row,emotion\n70.5,0\n", "line 2: found row '70.5'"),
    "fraction of a code": ("row,emotion\n70,0.5\n", "line 2: found emotion '0.5'"),
    "digits that only Python takes": (f"row,{P}\n70,0_1,0,0,0,0,0,1\n", "line 2: found angry '0_1', expected a number"),
    "decimal commas between commas": (f"row,{P}\n" + '70,"0,5","0,5",0,0,0,0,0\n', "line 2: found angry '0,5'"),
    "a field more": ("row,emotion\n70,0,1\n", "line 2: found 3 fields, expected 2"),
    "text": (f"row,{P}\n70,much,0,0,0,0,0,1\n", "line 2: found angry 'much', expected a number"),
    "sum": (f"row,{P}\n70,0.5,0,0,0,0,0,0.4\n", "line 2: found probabilities that add up to 0.9, expected 1"),
    "no CSV": ("row,emotion\n70," + '"' + "0" * 200_000 + "\n", "found no CSV"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_by_file_and_line(tmp_path, name):
    content, message = BAD[name]
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(ValueError, match=message) as raised:
        prediction_files.read(str(tmp_path / "x.csv"), made_up_faces())
    assert str(tmp_path / "x.csv") in str(raised.value) and "\n" not in str(raised.value)


def test_small_liberties_are_taken(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbf Row , note, Emotion\r\n70, a, Happy\r\n\r\n071,b,3\r\n")
    found = prediction_files.read(str(tmp_path / "x.csv"), made_up_faces())
    assert np.flatnonzero(found["classes"] >= 0).tolist() == [70, 71]
    assert set(found["classes"].tolist()) == {-1, 3}


SAVED = {
    "pandas": ",row,emotion\n0,70,3\n1,71,0\n",
    "pandas, floats": "row,emotion\n70.0,3.0\n71.0,0.0\n",
    "pandas, another column": "confidence,emotion,row\n0.3,happy,70\n0.2,angry,71\n",
    "NumPy": "# row,emotion\n7.000000000000000000e+01,3.000000000000000000e+00\n7.1e+01,0.0e+00\n",
    "Excel": "row;emotion;;\r\n70;3;;\r\n71;0;;\r\n;;;\r\n",
    "Excel, with its own line": "sep=;\r\nrow;emotion\r\n70;3\r\n71;0\r\n",
    "German, floats": "row;emotion\n70,0;3,0\n71,0;0,0\n",
    "tabs": "row\temotion\n70\t3\n71\t0\n",
    "blanks": "row, emotion\n70, happy\n71, angry\n",
    "quotes": '"row","emotion","note"\n"70","happy","a, b\nand c"\n"71","angry",""\n',
    "old Macintosh": "row,emotion\r70,3\r71,0\r",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", SAVED.values(), ids=SAVED)
def test_predictions_are_read_as_pandas_and_spreadsheets_save_them(tmp_path, text, encoding):
    (tmp_path / "x.csv").write_bytes(text.encode(encoding))
    found = prediction_files.read(str(tmp_path / "x.csv"), made_up_faces())
    assert found["classes"][[70, 71]].tolist() == [3, 0] and (found["classes"] >= 0).sum() == 2


def test_probabilities_with_decimal_commas(tmp_path):
    (tmp_path / "x.csv").write_text(f"row;{P.replace(',', ';')}\n70;0,25;0;0;0,75;0;0;0\n71;1e-3;0;0,999;0;0;0;0\n")
    found = prediction_files.read(str(tmp_path / "x.csv"), made_up_faces())
    assert found["probabilities"][70].tolist() == [0.25, 0, 0, 0.75, 0, 0, 0]
    assert found["probabilities"][71].tolist() == pytest.approx([0.001, 0, 0.999, 0, 0, 0, 0])


def test_predictions_come_through_a_pipe_and_from_any_file_name(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"row,emotion\n70,3\n",))
    writer.start()
    assert prediction_files.read(str(pipe), made_up_faces())["classes"][70] == 3
    writer.join()
    name = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.csv")
    with open(name, "w") as file:
        file.write("row,emotion\n70,3\n")
    found = prediction_files.read(name, made_up_faces())
    assert found["classes"][70] == 3 and found["file"] == name
    with open(name, "w") as file:
        file.write("row,emotion\n70,9\n")
    with pytest.raises(ValueError, match="line 2: found emotion '9'"):
        prediction_files.read(name, made_up_faces())


def test_rounded_probabilities_are_taken_and_add_up(tmp_path):
    for value in (0.143, 0.14, 1.035 / 7):  # they add up to 1.001, 0.98 and 1.035
        file = written(tmp_path / "x.csv", [70], [[value] * 7], P)
        assert prediction_files.read(file, made_up_faces())["probabilities"][70].tolist() == pytest.approx([1 / 7] * 7)


def test_a_probability_may_be_outside_of_0_to_1_by_its_rounding(tmp_path, kept):
    for happy, sad in ((1.0000001, 0), (1.0004, -0.0004), (1, -1e-9)):
        file = written(tmp_path / "x.csv", [70], [[0, 0, 0, happy, sad, 0, 0]], P)
        assert prediction_files.read(file, made_up_faces())["probabilities"][70].tolist() == [0, 0, 0, 1, 0, 0, 0]
    for value, shown in (("1.00101", "1.00101"), ("-0.0010001", "-0.0010001"), ("1.0010000001", "1.0010000001")):
        file = written(tmp_path / "x.csv", [70], [[0, 0, 0, value, 0, 0, 0]], P)
        with pytest.raises(ValueError, match=f"line 2: found happy {shown}, expected a probability from 0 to 1"):
            prediction_files.read(file, made_up_faces())
    arrays = records.read_arrays(kept)
    arrays["probabilities_last"] = np.eye(7)[arrays["classes_last"]] * (1 + 2e-7) - 1e-9
    np.savez(kept, **arrays)
    found = prediction_files.read(str(kept), made_up_faces())["probabilities"][70:]
    assert found.min() == 0 and found.max() == 1


# ---- predictions.npz


@pytest.fixture
def kept(tmp_path):
    """A record's predictions.npz on the made-up faces: right but for every fifth row, at the best epoch third."""

    def logits(every):
        return lambda labels: np.eye(7)[np.where(np.arange(len(labels)) % every == 0, (labels + 1) % 7, labels)] * 4

    return network(tmp_path, 0, logits(5), logits(3))["folder"] / "predictions.npz"


def test_the_last_epoch_is_read_unless_another_is_named(kept):
    data = made_up_faces()
    for named, epoch in (("", "last"), (":last", "last"), (":best", "best")):
        found = prediction_files.read(f"{kept}{named}", data)
        assert found["file"] == f"{kept}, {epoch} epoch"
        assert (found["classes"][data.split > 0] == data.labels[data.split > 0]).sum() == {"last": 280, "best": 233}[
            epoch
        ]
        assert np.nansum(found["probabilities"]) == pytest.approx(350)
    with pytest.raises(ValueError, match=r"found no epoch 'first', expected one of last, best; for example"):
        prediction_files.read(f"{kept}:first", data)


def test_an_ending_is_known_in_capitals(kept):
    kept = kept.rename(kept.with_name("MINE.NPZ"))
    for named, right in (("", 280), (":best", 233)):
        found = prediction_files.read(f"{kept}{named}", made_up_faces())
        assert (found["classes"][70:] == made_up_faces().labels[70:]).sum() == right


def test_predictions_of_other_data_are_refused(kept):
    data = made_up_faces()
    other = Faces(data.images, (data.labels + 1) % 7, data.split, data.ids, "fer2013", "")
    with pytest.raises(ValueError, match="found row 70 with a label that it does not have in this fer2013"):
        prediction_files.read(str(kept), other)
    with pytest.raises(ValueError, match="found row 70 with a label"):
        prediction_files.read(str(kept), data.select(data.rows("PrivateTest")))


@pytest.mark.parametrize(
    "change",
    [
        {"ids": np.repeat(np.arange(70, 245, dtype=np.int32), 2)},
        {"ids": np.zeros(0, np.int32)},
        {"classes_last": np.full(350, 7, np.uint8)},
        {"classes_last": np.zeros(350)},
        {"classes_last": (np.arange(350) % 7).astype(np.uint8)},  # not the likeliest
        {"probabilities_last": np.ones((350, 7))},
        {"probabilities_last": np.tile([2.0, -1, 0, 0, 0, 0, 0], (350, 1))},
        {"probabilities_last": np.ones((350, 8)) / 8},
    ],
)
def test_unsound_predictions_are_refused(kept, change):
    np.savez(kept, **records.read_arrays(kept) | change)
    with pytest.raises(ValueError, match=r"predictions.npz: found arrays of other shapes, types or values"):
        prediction_files.read(str(kept), made_up_faces())


def test_predictions_that_are_not_finite_are_refused(kept):
    arrays = records.read_arrays(kept)
    arrays["probabilities_last"][3, 2] = np.nan
    np.savez(kept, **arrays)
    with pytest.raises(
        ValueError, match=r"probabilities_last: found 1 of 350 predictions with NaN or infinite numbers"
    ):
        prediction_files.read(str(kept), made_up_faces())


ODD = [
    np.array(0.5), np.array("text"), np.array(["a"] * 350), np.array([["a"] * 7] * 350), np.zeros((350, 0)),
    np.zeros(350, [("a", "i4")]), np.zeros((350, 7), "M8[s]"), np.zeros((350, 7), complex),
]  # fmt: skip


@pytest.mark.parametrize("name", ["ids", "labels", "classes_last", "probabilities_last"])
@pytest.mark.parametrize("array", ODD, ids=lambda array: f"{array.shape} {array.dtype}")
def test_arrays_of_any_shape_and_type_are_refused(kept, name, array):
    np.savez(kept, **records.read_arrays(kept) | {name: array})
    with pytest.raises(ValueError, match=r"predictions.npz: found (something else|arrays of other shapes)"):
        prediction_files.read(str(kept), made_up_faces())
    if name == "probabilities_last":
        with np.load(kept) as whole:
            packed = {name: whole[name] for name in ("ids", "labels", "split", name)}
        np.savez(kept, **packed, moved_last=np.zeros((0, 2), np.int32))
        with pytest.raises(ValueError, match=r"predictions.npz: found (something else|arrays of other shapes)"):
            prediction_files.read(str(kept), made_up_faces())


def test_an_epoch_of_a_file_without_any_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", ids=np.zeros(1, np.int32), labels=np.zeros(1, np.uint8), split=np.ones(1, np.uint8))
    with pytest.raises(
        ValueError, match=r"x.npz: found (something else|no classes of any epoch).*expected the predict"
    ):
        prediction_files.read(f"{tmp_path / 'x.npz'}:best", made_up_faces())


@pytest.mark.parametrize("content", [b"", b"row,emotion\n", b"PK\x03\x04", None], ids=["empty", "csv", "torn", "other"])
def test_no_predictions_are_refused(tmp_path, content):
    path = tmp_path / "x.npz"
    np.savez(path, pixels=np.zeros(3)) if content is None else path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x.npz: found something else .*expected the predictions.npz of a record"):
        prediction_files.read(str(path), made_up_faces())


# ---- the verb


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A small FER2013 to be found, which is not the official one."""
    data = made_up_faces()
    np.savez(tmp_path / "small.npz", pixels=data.images, emotion=data.labels, usage=data.split)
    monkeypatch.setenv("FER2013", str(tmp_path / "small.npz"))
    return data


@pytest.mark.filterwarnings("ignore:.*not the official FER2013")
def test_the_verb_prints_tables_and_writes_json(small, tmp_path, capsys):
    file = written(tmp_path / "x.csv", small.ids, small.labels)
    other = written(tmp_path / "y.csv", small.ids, [3] * len(small))
    assert main(["score", file, other, "--json", str(tmp_path / "out.json")]) == 0
    out = capsys.readouterr().out
    assert (
        "**Not the official FER2013**: a row is one of small.npz" in out
        and "| PrivateTest " in out
        and "100.00" in out
        and "What each set is worth" in out
    )
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["files"][0]["sets"]["PublicTest"]["accuracy"] == 1
    assert report["comparison"]["PublicTest"]["only_first"] == 120
    assert "official FER2013 only" in report["ferplus"]["left_out"]
    assert not list(tmp_path.glob("*partial*"))


@pytest.mark.filterwarnings("ignore:.*not the official FER2013")
@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["nowhere.csv"], "nowhere.csv: found no such file, expected a CSV file"),
        (["bad.csv"], "bad.csv, line 2: found emotion 'x'"),
        (["bad.csv"] * 3, "score: found 3 files, expected one, or two"),
    ],
)
def test_the_verb_ends_in_one_error(small, tmp_path, monkeypatch, capsys, files, message):
    (tmp_path / "bad.csv").write_text("row,emotion\n70,x\n")
    monkeypatch.chdir(tmp_path)
    assert main(["score", *files, "--json", "out.json"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("error: ") and message in captured.err
    assert captured.err.count("\n") == 1 and not (tmp_path / "out.json").exists()


def test_scoring_needs_no_keras(small, tmp_path):
    file = written(tmp_path / "x.csv", small.ids, small.labels)
    program = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "jax", "torch", "snakemake", "papermill"):
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
from fer_lib.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT), "FER_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", program, "score", file]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "100.00" in done.stdout


# ---- the real file


@pytest.mark.slow
def test_on_the_real_file_a_record_s_predictions_give_its_accuracies(fer2013_faces, ferplus_csv, monkeypatch):
    monkeypatch.setenv("FERPLUS", str(ferplus_csv))
    folder = RUNS / "saravanan2019/table1_decision_tree_fixed_split/sklearn-seed0"
    found = scoring.score_files([str(folder / "predictions.npz")], fer2013_faces)["files"][0]["sets"]
    for name, score in records.read(folder)["metrics"]["last"].items():
        if name != "epoch":
            assert found[name]["accuracy"] == score["accuracy"] and found[name]["n"] == score["n"]
    assert len(found) == 10
