import csv
import json
import math
import re

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_records import always, answers, faces, network, sweep, tree

from fer_lib import paths
from fer_lib.data import ferplus, near_duplicates
from fer_lib.data.emotions import FER2013
from fer_lib.evaluation import pooled, records
from fer_lib.report import page as report_page
from fer_lib.report import sections, show
from fer_lib.report.causes import collapse, figures, networks, page, rows
from fer_lib.training.protocol import WITHOUT_NEAR, WITHOUT_TWINS

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
BASE = {
    "model": "feedforward",
    "loss": "clipped",
    "train_rows": "Training",
    "augmentation": "none",
    "model_options": {},
}
TEST_IDS = faces().ids[70:]


def experiment(title="A network", **parameters) -> dict:
    return {"title": title, "defaults": BASE, "parameters": parameters}


EXPERIMENTS = {
    "saravanan2019/one": experiment(),
    "ours/one_logits": experiment(loss="logits"),
    "ours/one_without_twins": experiment(train_rows="Training without twins"),
    "ours/one_without_near": experiment(train_rows="Training without near-duplicates"),
    "ours/one_augmented": experiment(augmentation="flip"),
    "ours/one_dropout": experiment(model_options={"dropout": 0.9}),
    "ours/other_model": experiment(model="simple_cnn", loss="logits"),
}


def run(results, name, seed, last, **changes):
    parameters = BASE | EXPERIMENTS.get(name, {}).get("parameters", {}) | changes.pop("parameters", {})
    return network(results, seed, last, experiment=name, parameters=parameters, **changes)


def grouped(*all_records):
    return pooled.groups(list(all_records), EXPERIMENTS)


def certain(labels, code):
    """Logits of a network whose softmax is exactly 0 and 1."""
    return np.tile(np.eye(7, dtype=np.float32)[code] * 200, (len(labels), 1))


def audit(results, leaked=(), flat=()):
    folder = results / "audit"
    folder.mkdir(parents=True)
    with open(folder / "leaked.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "split", "emotion", "twin", "twin_split", "twin_emotion", "contradicted"])
        writer.writerows([row, "PublicTest", "happy", 3, split, "happy", "no"] for row, split in leaked)
    with open(folder / "flat.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "split", "emotion", "grey"])
        writer.writerows([row, "PublicTest", emotion, 0] for row, emotion in flat)


def write_near(results, pairs):
    """The audit's list of near-duplicates: (row, correlation, whether the labels agree)."""
    lines = [f"{row},PrivateTest,happy,3,Training,{'happy' if agree else 'sad'},{r},no,0,0" for row, r, agree in pairs]
    (results / "audit" / "near_duplicates.csv").write_text("\n".join([",".join(near_duplicates.COLUMNS), *lines, ""]))


# ---- The collapse


def test_the_released_losses_follow_from_certain_wrong_predictions():
    n = int(collapse.test_counts().sum())
    assert n == 7178
    for _, accuracy, stored in collapse.RELEASED:
        correct = round(accuracy / 100 * n)
        assert 100 * correct / n == pytest.approx(accuracy, abs=1e-3)
        assert collapse.certain_loss(correct / n) == pytest.approx(stored, abs=1e-4)


@pytest.mark.parametrize(
    ("printed", "digits", "expected"),
    [(17.38, 2, ("sad", 1, 1248)), (24.72, 2, ("happy", 1, 1775)), (13.35, 2, ("angry", 0, 958)),
     (13.346, 3, ("angry", 0, 958)), (24.728, 3, ("happy", 1, 1775)), (17.386, 3, ("sad", 1, 1248))],
)  # fmt: skip
def test_printed_accuracies_are_traced_to_the_one_emotion_and_the_black_picture(printed, digits, expected):
    lines = collapse.constant_classifiers(printed, digits, collapse.test_counts(), ["angry"])
    assert [(line["emotion"], line["extra"], line["correct"]) for line in lines] == [expected]
    assert collapse.constant_classifiers(60.58, 2, collapse.test_counts(), ["angry"]) == []


@given(st.lists(st.integers(1, 5000), min_size=7, max_size=7), st.integers(0, 6), st.integers(1, 4), st.booleans())
def test_every_constant_classifier_is_recognised_rounded_or_cut_off(counts, code, digits, cut):
    counts = np.array(counts)
    shares, whole = (
        100 * 10**digits * int(counts[code]),
        int(counts.sum()),
    )  # whole numbers: no bit is lost before the cut
    printed = shares // whole / 10**digits if cut else round(shares / whole) / 10**digits
    lines = collapse.constant_classifiers(printed, digits, counts, [])
    assert FER2013[code] in [line["emotion"] for line in lines]


def test_outcomes_count_the_emotions(tmp_path):
    seeds = [run(tmp_path, "saravanan2019/one", seed, lambda y, a=a: always(y, a)) for seed, a in enumerate((3, 3, 0))]
    seeds.append(run(tmp_path, "saravanan2019/one", 3, lambda y: answers(y, 2)))
    line = collapse.outcomes(seeds)
    assert (line["seeds"], line["collapsed"], line["emotions"]) == (4, 3, {"happy": 2, "angry": 1})


def history(accuracies, losses):
    return [
        {"epoch": k + 1, "accuracy": a, f"{collapse.BOTH}_accuracy": a, f"{collapse.BOTH}_loss": loss}
        for k, (a, loss) in enumerate(zip(accuracies, losses))
    ]


@pytest.mark.parametrize(
    ("accuracies", "off", "expected"),
    [
        ((0.2, 0.2, 0.2), (0, 0, 0), (1, 1)),
        ((0.2, 0.2, 0.3), (1, 0, 0), (2, 3)),
        ((0.1, 0.3, 0.3), (0, 0, 1), (None, 2)),
    ],
)
def test_the_history_tells_when_a_network_became_certain(tmp_path, accuracies, off, expected):
    losses = [collapse.certain_loss(a) - o for a, o in zip(accuracies, off)]
    record = run(tmp_path, "saravanan2019/one", 0, lambda y: always(y, 3), history=history(accuracies, losses))
    course = collapse.course(record)
    assert (course["certain_from"], course["changed"]) == expected


def test_there_is_no_course_without_losses_or_with_logits(tmp_path):
    record = run(tmp_path, "saravanan2019/one", 0, lambda y: always(y, 3))
    assert collapse.course(record) is None
    other = run(tmp_path, "ours/one_logits", 0, lambda y: always(y, 3), history=history([0.1], [2.0]))
    assert collapse.course(other) is None


def test_what_a_certain_network_pays_is_on_the_line_and_the_flat_picture_beside_it(tmp_path):
    def last(labels):
        logits = certain(labels, 3)
        logits[0] = [1, 0, 0, 0, 0, 0, 0]  # the flat row, id 70, labelled angry: rightly, but not certainly
        return logits

    record = run(tmp_path, "saravanan2019/one", 0, last)
    line = collapse.losses([record], [{"row": "70"}]).to_dict("records")[0]
    assert line["emotion"] == "happy" and line["accuracy"] == pytest.approx(51 / 350)
    cost = -math.log(math.e / (math.e + 6))
    assert line["excess"] == pytest.approx(cost, abs=0.01) and line["flat"] == pytest.approx(cost, abs=0.01)
    assert collapse.flat_predictions([record], [{"row": "70", "emotion": "angry"}]) == {
        "runs": 1,
        "right": 1,
        "other": 1,
    }
    assert collapse.flat_predictions([record], []) == {"runs": 0, "right": 0, "other": 0}


def test_a_sweep_is_read_and_its_factors_are_compared_among_twins(tmp_path):
    record = sweep(
        tmp_path,
        [
            ("clipped", "0..255", True),
            ("logits", "0..255", True),
            ("clipped", "0..1", False),
            ("logits", "0..1", False),
            ("clipped", "standardised", True),
        ],
    )
    frame = collapse.settings(record)
    assert frame["collapsed"].tolist() == [True, True, False, False, True]
    assert {name: values.shape for name, values in collapse.traces(record).items()} == dict.fromkeys(
        collapse.TRACES, (5, 8)
    )
    lines = collapse.factors(frame)
    assert {(line["factor"], line["level"]): (line["collapsed"], line["settings"]) for line in lines} == {
        ("loss", "clipped"): (1, 2), ("loss", "logits"): (1, 2),  # not the one at "standardised", which has no twin
        ("input_scale", "0..255"): (2, 2), ("input_scale", "0..1"): (0, 2), ("input_scale", "standardised"): (1, 1),
    }  # fmt: skip


def test_a_sweep_that_lacks_a_trace_is_refused(tmp_path):
    record = sweep(tmp_path, [("clipped", "0..255", True)], without="dead")
    with pytest.raises(ValueError, match="trace_dead: found none"):
        collapse.traces(record)


# ---- Networks


def test_twins_differ_in_one_parameter_and_the_papers_own_comes_first():
    assert networks.counterparts(EXPERIMENTS, "loss") == [("saravanan2019/one", ["ours/one_logits"])]
    assert rows.pairs_without(EXPERIMENTS, WITHOUT_TWINS) == [("saravanan2019/one", "ours/one_without_twins")]
    assert rows.pairs_without(EXPERIMENTS, WITHOUT_NEAR) == [("saravanan2019/one", "ours/one_without_near")]
    assert networks.remedy_pairs(EXPERIMENTS) == [
        ("augmentation", "saravanan2019/one", "ours/one_augmented"),
        ("model_options", "saravanan2019/one", "ours/one_dropout"),
    ]
    wider = EXPERIMENTS | {"ours/one_wide": experiment(model_options={"width": 9})}
    assert networks.remedy_pairs(wider) == networks.remedy_pairs(EXPERIMENTS)


def test_only_runs_that_were_computed_alike_are_paired(tmp_path):
    one = [run(tmp_path, "saravanan2019/one", seed, lambda y: answers(y, 2)) for seed in range(3)]
    two = [run(tmp_path, "ours/one_augmented", seed, lambda y: answers(y, 3)) for seed in (1, 2, 5)]
    jax = [run(tmp_path, "ours/one_augmented", 0, lambda y: answers(y, 3), backend="jax")]
    pairs = networks.pairs("saravanan2019/one", "ours/one_augmented", grouped(*one, *two, *jax))
    assert [(a["seed"], b["seed"], b["backend"]) for a, b in pairs] == [(1, 1, "tensorflow"), (2, 2, "tensorflow")]


def test_choosing_equals_a_hand_calculation(tmp_path):
    public, private, losses = (
        (0.3, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4),
        (0.2, 0.4, 0.6, 0.5, 0.5, 0.5, 0.3),
        (3, 1, 2, 2, 2, 2, 2),
    )
    course = [
        {"epoch": k + 1, "accuracy": a, "PublicTest_accuracy": a, "PrivateTest_accuracy": b,
         f"{networks.BOTH}_accuracy": (a + b) / 2, "PublicTest_loss": loss, "PrivateTest_loss": 1 / (k + 1)}
        for k, (a, b, loss) in enumerate(zip(public, private, losses))
    ]  # fmt: skip
    record = run(tmp_path, "saravanan2019/one", 0, lambda y: answers(y, 2), history=course)
    (line,) = networks.choosing(grouped(record))
    assert (line["honest"], line["own"], line["best"]) == ([0.4], [0.6], [0.5])
    assert line["last"] == [pytest.approx(0.35)] and line["worth"] == [pytest.approx(0.2)]
    assert line["stopped"] == [0.5] and line["stopped_own"] == [0.3]  # after epoch 6, four after the minimum; and never
    assert networks.choosing(grouped(run(tmp_path, "ours/one_logits", 0, lambda y: always(y, 3)))) == []


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=12))
def test_choosing_on_the_scored_rows_never_loses(tmp_path_factory, pairs):
    course = [
        {"epoch": 1, "PublicTest_accuracy": a, "PrivateTest_accuracy": b, f"{networks.BOTH}_accuracy": a}
        for a, b in pairs
    ]
    record = run(tmp_path_factory.mktemp("r"), "saravanan2019/one", 0, lambda y: answers(y, 2), history=course)
    (line,) = networks.choosing(grouped(record))
    assert line["worth"][0] >= 0


def test_overfitting_and_remedies_are_paired_by_seed(tmp_path):
    before = [run(tmp_path, "saravanan2019/one", seed, lambda y: answers(y, 2)) for seed in range(2)]
    after = [run(tmp_path, "ours/one_augmented", seed, lambda y: answers(y, 5)) for seed in range(2)]
    (gap, _) = networks.overfitting(grouped(*before, *after))
    assert gap["spread"][0] == pytest.approx(0.1)  # the made-up history climbs so
    (line,) = networks.remedies(grouped(*before, *after), EXPERIMENTS)
    assert (line["changed"], line["seeds"]) == ("augmentation flip", 2)
    assert (line["before"], line["after"]) == (0.5, pytest.approx(0.8))
    assert line["spread"] == pytest.approx((0.3, 0.3, 0.3)) and line["rows"][1] < 0.3 < line["rows"][2]
    assert line["narrowed"] == pytest.approx(0)


def test_fillings_differ_by_what_was_changed(tmp_path):
    first = {"model": "eleven_layers", "loss": "logits", "evaluation_rows": "PrivateTest", "kept_epoch": "best"}
    known = {
        "vorontsov2018/eleven_layers": experiment(**first),
        "ours/filling_wide": experiment(**first, model_options={"width": 64}),
        "ours/augmented": experiment(**first, augmentation="flip"),
    }
    runs = [
        network(tmp_path, 0, lambda y, k=k: answers(y, k), experiment=name, parameters=BASE | known[name]["parameters"])
        for k, name in enumerate(known, 2)
    ]
    lines = networks.fillings(pooled.groups(runs, known), known)
    assert [line["changed"] for line in lines] == [{}, {"width": 64}]
    assert [line["PrivateTest"]["mean"] for line in lines] == pytest.approx([1 / 2, 2 / 3], abs=0.01)


# ---- Rows


def test_leakage_equals_a_hand_calculation_and_follows_the_predictions(tmp_path):
    leaked = TEST_IDS[np.arange(350) % 5 == 1].astype(np.int32)  # 70 rows

    def by_heart(labels, wrong=0):
        logits = answers(labels, 2)
        right = np.isin(TEST_IDS, leaked)
        right[np.flatnonzero(right)[:wrong]] = False
        logits[right] = np.eye(7, dtype=np.float32)[labels[right]] * 4
        logits[np.isin(TEST_IDS, leaked[:wrong])] = np.eye(7, dtype=np.float32)[
            (labels[np.isin(TEST_IDS, leaked[:wrong])] + 1) % 7
        ]
        return logits

    record = run(tmp_path, "saravanan2019/one", 0, by_heart)
    (line,) = rows.leakage(grouped(record), leaked)
    assert (line["n_leaked"], line["n"], line["leaked"], line["clean"]) == (70, 350, 1.0, pytest.approx(0.5))
    assert line["rows"][0] == pytest.approx(0.5) and line["rows"][1] > 0
    assert line["share"][0] == pytest.approx(line["alike"][0] / 5)
    changed = run(tmp_path, "saravanan2019/one", 0, lambda y: by_heart(y, wrong=7))
    assert rows.leakage(grouped(changed), leaked)[0]["leaked"] == pytest.approx(0.9)


def test_a_collapsed_network_owes_leaked_rows_nothing(tmp_path):
    leaked = TEST_IDS[::3]
    record = run(tmp_path, "saravanan2019/one", 0, lambda y: always(y, 3))
    (line,) = rows.leakage(grouped(record), leaked)
    assert not line["learned"] and line["alike"] == pytest.approx((0, 0, 0)) and math.isnan(line["spread"][1])


def test_leaked_rows_are_those_whose_twin_stands_in_training(tmp_path):
    assert len(rows.leaked_ids(tmp_path)) == 0
    audit(tmp_path, [(70, "Training"), (300, "PublicTest"), (75, "Training")])
    assert rows.leaked_ids(tmp_path).tolist() == [70, 75]
    held_out = tree(tmp_path, 0, held_out=True)
    on_drawn_faces = run(tmp_path, "saravanan2019/one", 0, lambda y: answers(y, 2), data="drawn_faces")
    assert rows.leakage(grouped(held_out, on_drawn_faces), rows.leaked_ids(tmp_path)) == []


def test_retraining_without_twins_is_read_on_the_same_rows(tmp_path):
    leaked = TEST_IDS[:50]
    before = [run(tmp_path, "saravanan2019/one", seed, lambda y: answers(y, 5)) for seed in range(2)]

    def forgot(labels):
        logits = answers(labels, 5)
        logits[:50] = np.eye(7, dtype=np.float32)[(labels[:50] + 1) % 7] * 4
        return logits

    after = [run(tmp_path, "ours/one_without_twins", seed, forgot) for seed in range(2)]
    (line,) = rows.retrained(grouped(*before, *after), EXPERIMENTS, leaked, {})
    assert line["leaked"]["rows"][0] == pytest.approx(-0.8) and line["leaked"]["after"] == 0
    assert line["leaked"]["share"][0] == pytest.approx(-0.8 * 50 / 350)  # all that was lost
    assert line["clean"]["rows"] == (0, 0, 0) and line["all"]["rows"][0] == pytest.approx(-0.8 * 50 / 350)
    assert (line["without"], line["seeds"], line["left_out"]) == ("twins", 2, 0)
    assert rows.retrained(grouped(*before), EXPERIMENTS, leaked, {}) == []


def test_rows_that_are_merely_easier_are_no_memory(tmp_path):
    """Leaked rows are all right with and without their twins: the raw lead is large, memory worth nothing."""
    leaked = TEST_IDS[:50]

    def easy(labels):
        logits = answers(labels, 2)
        logits[:50] = np.eye(7, dtype=np.float32)[labels[:50]] * 4
        return logits

    before = [run(tmp_path, "saravanan2019/one", seed, easy) for seed in range(2)]
    after = [run(tmp_path, "ours/one_without_twins", seed, easy) for seed in range(2)]
    (line,) = rows.retrained(grouped(*before, *after), EXPERIMENTS, leaked, {})
    assert line["leaked"]["share"] == (0, 0, 0) and line["leaked"]["before"] == 1
    (both,) = rows.leakage(grouped(*before, *after), leaked)  # the one without twins is no model that can remember
    assert both["lost"][0] == pytest.approx((1 - 0.5) * 50 / 350)
    text = page._retrained_in_words(line)
    assert "recognises 100.00\u00a0% of the leaked rows and 50.00\u00a0% of the clean ones" in text
    assert "The change on leaked rows, +0.00 points [+0.00,\u00a0+0.00] of the accuracy on all rows, is what" in text
    assert "their lead over clean rows alone would suggest 7.14." in text


def test_a_pair_of_which_one_collapsed_is_left_out(tmp_path):
    before = [run(tmp_path, "saravanan2019/one", seed, lambda y: answers(y, 5)) for seed in range(3)]
    after = [run(tmp_path, "ours/one_without_twins", seed, lambda y: answers(y, 4)) for seed in range(2)]
    after.append(run(tmp_path, "ours/one_without_twins", 2, lambda y: always(y, 3)))
    groups = [networks.mostly_learned(group) for group in grouped(*before, *after)]
    assert [len(group) for group in groups] == [3, 2]
    (line,) = rows.retrained(grouped(*before, *after), EXPERIMENTS, TEST_IDS[:50], {})
    assert (line["seeds"], line["left_out"]) == (2, 1)
    assert (
        "(2 pairs of runs with the same seed; 1 more left out because a network collapsed)"
        in page._retrained_in_words(line)
    )
    fallen = [run(tmp_path, "ours/one_logits", seed, lambda y: always(y, 3)) for seed in range(3)]
    assert len(networks.mostly_learned(fallen)) == 3


def test_near_duplicates_are_told_from_easy_rows_by_a_network_that_cannot_remember_them(tmp_path):
    audit(tmp_path, [(TEST_IDS[k], "Training") for k in range(50)])
    near = TEST_IDS[100:200]
    write_near(
        tmp_path,
        [(row, 0.91 if k < 50 else 0.99, k % 4 > 0) for k, row in enumerate(near)] + [(TEST_IDS[300], 0.85, True)],
    )
    leaked, nearest = rows.leaked_ids(tmp_path), rows.nearest(tmp_path)
    assert len(nearest) == 101 and nearest[int(TEST_IDS[199])].correlation == 0.99

    def remembers(labels):
        logits = answers(labels, 2)
        logits[100:200] = np.eye(7, dtype=np.float32)[labels[100:200]] * 4
        return logits

    before = [run(tmp_path, "saravanan2019/one", seed, remembers) for seed in range(2)]
    after = [run(tmp_path, "ours/one_without_near", seed, lambda y: answers(y, 2)) for seed in range(2)]
    groups = grouped(*before, *after)
    (line,) = rows.retrained(groups, EXPERIMENTS, leaked, nearest)
    assert (line["without"], line["near-duplicate"]["n"], line["near-clean"]["n"]) == ("near-duplicates", 100, 200)
    assert (line["near-duplicate"]["before"], line["near-duplicate"]["after"]) == (1, 0.5)
    assert line["near-clean"]["rows"] == (0, 0, 0)
    bands = rows.by_correlation(groups, EXPERIMENTS, leaked, nearest)
    assert [(band["low"], band["n"], band["agree"]) for band in bands] == [(0.90, 50, 37), (0.98, 50, 38)]
    for band in bands:
        assert band["memory"][0] == pytest.approx(0.5) and band["ease"][0] == pytest.approx(0, abs=0.01)
        assert band["chance"] == pytest.approx(1 / 7)
    cause = page.leaked_rows(groups, EXPERIMENTS, leaked, nearest)
    assert "On near-duplicates it has 100.00\u00a0% with and 50.00\u00a0% without them" in " ".join(cause.conclusion)
    assert "Of 100 clean test rows that correlate 0.90 or more" in cause.conclusion[-1]
    assert rows.by_correlation(grouped(*before), EXPERIMENTS, leaked, nearest) == []
    (of_all,) = rows.leakage(grouped(*before), leaked, nearest)
    assert of_all["near_clean"] == pytest.approx(0.5) and of_all["near_lost"][0] == pytest.approx(0.5 * 100 / 350)


def test_halves_compare_the_same_network(tmp_path):
    def better_in_private(labels):
        logits = answers(labels, 2)
        logits[140:] = answers(labels[140:], 5)
        return logits

    record = run(tmp_path, "saravanan2019/one", 0, better_in_private)
    (line,) = rows.halves(grouped(record, run(tmp_path, "ours/one_logits", 0, lambda y: always(y, 2))))
    assert (line["public"], line["private"]) == (0.5, pytest.approx(0.8))
    assert line["difference"] == pytest.approx(0.3) and line["rows"][1] < 0.3 < line["rows"][2]


def taggers(agree):
    """FER+ counts of the made-up faces: of the PrivateTest rows marked in ``agree`` all ten agree with the label."""
    data = faces()
    codes = np.where(np.concatenate([np.ones(210, bool), agree]), data.labels, (data.labels + 1) % 7)
    counts = np.zeros((len(data), 10), np.uint8)
    counts[np.arange(len(data)), np.argsort(ferplus.IN_FER2013)[codes]] = 10
    return counts


def test_label_noise_by_agreement(tmp_path):
    agree = np.arange(210) % 3 > 0

    def last(labels):
        logits = answers(labels, 10**6)
        away = np.concatenate([np.zeros(140, bool), ~agree])
        logits[away] = np.eye(7, dtype=np.float32)[(labels[away] + 1) % 7] * 4
        return logits

    record = run(tmp_path, "saravanan2019/one", 0, last)
    (line,) = rows.label_noise(grouped(record), taggers(agree))
    assert (line["agreed"]["n"], line["other"]["n"]) == (140, 70)
    assert (line["agreed"]["accuracy"], line["other"]["accuracy"], line["taggers"]["accuracy"]) == (1, 0, 1)
    assert {level: part["accuracy"] for level, part in line["levels"].items()} == {"10": 1, "0": 0}
    assert line["second"] is None  # no wrong prediction where the label is agreed with
    assert rows.label_noise(grouped(record), taggers(agree)[:100]) == []  # counts of other data


def test_the_second_prediction_by_agreement(tmp_path):
    agree = np.arange(210) % 3 > 0
    away = np.concatenate([np.zeros(140, bool), np.ones(210, bool)])
    near = np.concatenate([np.zeros(140, bool), agree & (np.arange(210) % 2 > 0)])  # the second prediction is the label

    def last(labels):
        logits = answers(labels, 10**6)
        logits[away] = np.eye(7, dtype=np.float32)[(labels[away] + 1) % 7] * 4
        logits[away] += np.eye(7, dtype=np.float32)[(labels[away] + 2) % 7]
        logits[near] += np.eye(7, dtype=np.float32)[labels[near]] * 2
        return logits

    record = run(tmp_path, "saravanan2019/one", 0, last)
    (line,) = rows.label_noise(grouped(record), taggers(agree))
    assert (line["second"]["agreed"], line["second"]["other"]) == (0.5, 0)
    difference, low, high = line["second"]["difference"]
    assert difference == 0.5 and 0.4 < low < 0.5 < high < 0.6


# ---- The page


def notebook_cells():
    return json.loads((paths.NOTEBOOKS / "8_causes.ipynb").read_text())["cells"]


def headings():
    text = "\n".join("".join(cell["source"]) for cell in notebook_cells() if cell["cell_type"] == "markdown")
    return re.findall(r"^## (.+)$", text, re.MULTILINE)


def test_every_cause_has_its_heading_and_is_shown(tmp_path):
    made = page.all_causes([], EXPERIMENTS, tmp_path)
    assert headings() == ["In short", *made, "What this page is made from"]
    code = "".join("".join(cell["source"]) for cell in notebook_cells() if cell["cell_type"] == "code")
    assert re.findall(r'causes\["(.+?)"\]\.show', code) == list(made)


def test_claims_link_to_causes_that_exist():
    links = re.findall(r"causes\.html#([\w-]+)", "".join(path.read_text() for path in paths.CLAIMS.glob("*.yaml")))
    assert set(links) <= {heading.replace(" ", "-") for heading in headings()}


def test_a_page_of_nothing_says_so_and_names_the_command(tmp_path):
    made = page.all_causes([], EXPERIMENTS, tmp_path)
    assert all(
        "yet" in cause.conclusion[0] or "not here" in cause.conclusion[0] or "No list" in cause.conclusion[0]
        for cause in made.values()
    )
    text = "".join(part for part in made["The collapse"].body if isinstance(part, str))
    assert "`make reproduce PROFILE=full ONLY=saravanan2019/one,ours/one_logits`" in text
    assert len(page.in_short(made).splitlines()) == len(made)


def shown(cause):
    return " ".join(cause.conclusion) + "".join(part if isinstance(part, str) else part.data for part in cause.body)


def whole_study(results, monkeypatch, learned=5):
    agree = np.arange(210) % 3 > 0
    file = results / ferplus.NAME
    with open(file, "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["Usage", "Image name", *ferplus.COLUMNS])
        names = ("Training", "PublicTest", "PrivateTest")
        writer.writerows([names[split], "", *counts] for split, counts in zip(faces().split, taggers(agree).tolist()))
    monkeypatch.setenv("FERPLUS", str(file))
    audit(results, [(int(row), "Training") for row in TEST_IDS[:50]], [(70, "angry")])
    for seed in range(3):
        stuck = history([1 / 7] * 3, [collapse.certain_loss(1 / 7)] * 3)
        run(results, "saravanan2019/one", seed, lambda y: certain(y, 3), history=stuck)
        run(results, "ours/one_logits", seed, lambda y: answers(y, learned))
        run(results, "ours/one_without_twins", seed, lambda y: certain(y, 3), history=stuck)
    tree(results, 0)
    sweep(results, [(loss, scale, loss == "clipped") for loss in ("clipped", "logits") for scale in ("0..255", "0..1")])


def test_the_conclusions_follow_from_the_records(tmp_path, monkeypatch):
    whole_study(tmp_path, monkeypatch)
    made = page.all_causes(records.load(tmp_path), EXPERIMENTS, tmp_path)
    text = " ".join(made["The collapse"].conclusion)
    assert "6 of 6 [61,\u00a0100\u00a0%] runs with the clipped loss and pixels of 0..255 collapsed to one" in text
    assert "to one emotion: happy (6) (TensorFlow, float32, CPU)." in text
    assert "the form of the loss makes the difference" in text
    assert "6 of 6 collapsed runs are certain of their predictions at the end" in text
    assert "so are those of our 6 runs that are, to within 0.0" in text
    assert "2 of 4" in text and "what matters most is loss: 2 of 2" in text
    assert "the gradient is exactly 0 at the end for 2 of 2 with the loss clipped" in text
    assert "80.00 %" not in shown(made["Overfitting"]) and "2 models that learned" in " ".join(
        made["Two test sets"].conclusion
    )
    assert "Feed-forward network" in shown(made["Label noise"]) and ferplus.NAME in shown(made["Label noise"])
    for cause in made.values():
        for alt in re.findall(r'alt="(.*?)"', shown(cause)):
            assert len(alt) > 20
        assert str(tmp_path) not in shown(cause)


def test_drawn_faces_have_their_page_too(tmp_path):
    runs = [run(tmp_path, "saravanan2019/one", 0, lambda y: always(y, 3), data="drawn_faces")]
    runs.append(run(tmp_path, "ours/one_logits", 0, lambda y: answers(y, 2), data="drawn_faces"))
    made = page.all_causes(runs, EXPERIMENTS, tmp_path)
    assert made["Choosing on the test set"].conclusion[0].startswith("Choosing the epoch")
    assert "No list of leaked rows" in made["Leaked rows"].conclusion[0]


def test_a_diagnostic_is_no_evidence_of_a_cause(tmp_path):
    runs = [run(tmp_path, "saravanan2019/one", seed, lambda y: always(y, 3)) for seed in range(2)]
    runs += [run(tmp_path, "ours/one_logits", seed, lambda y: answers(y, 2)) for seed in range(2)]
    known = EXPERIMENTS | {"ours/one_logits": EXPERIMENTS["ours/one_logits"] | {"diagnostic": True}}
    diagnostic, counted = (
        " ".join(page.all_causes(runs, experiments, tmp_path)["The collapse"].conclusion)
        for experiments in (known, EXPERIMENTS)
    )
    assert "Whether the form of the loss is the cause is open" in diagnostic
    assert "all else equal" not in diagnostic
    assert "loss clipped against logits, all else equal" in counted


def test_other_labels_than_fer2013s_are_no_evidence_on_it(tmp_path, monkeypatch):
    """Runs on FER+'s labels share FER2013's rows, but are right far more often."""
    counts = taggers(np.arange(210) % 3 > 0)
    monkeypatch.setattr(ferplus, "find", lambda: __file__)
    monkeypatch.setattr(ferplus, "load", lambda: (counts, None))
    runs = [run(tmp_path, "saravanan2019/one", 0, lambda y: answers(y, 3))]
    other = run(tmp_path, "ours/one_logits", 0, lambda y: answers(y, 6))
    eight = other | {"data": other["data"] | {"emotions": [*FER2013, "contempt"]}}
    alone, counted, beside = (page.all_causes(r, EXPERIMENTS, tmp_path) for r in (runs, [*runs, other], [*runs, eight]))
    for name in ("Two test sets", "Overfitting", "Label noise"):
        assert beside[name].conclusion == alone[name].conclusion
    assert counted["Two test sets"].conclusion != alone["Two test sets"].conclusion


def test_runs_of_other_backends_are_not_counted_together(tmp_path):
    runs = [run(tmp_path, "saravanan2019/one", seed, lambda y: always(y, 3)) for seed in range(2)]
    runs.append(run(tmp_path, "saravanan2019/one", 0, lambda y: answers(y, 3), backend="jax"))
    runs.append(run(tmp_path, "ours/one_logits", 0, lambda y: answers(y, 3), backend="jax"))
    made = page.all_causes(runs, EXPERIMENTS, tmp_path)
    others, counted, twins, *_ = made["The collapse"].conclusion
    assert counted.startswith("2 of 2 ") and counted.endswith("one emotion: happy (2) (TensorFlow, float32, CPU).")
    assert others.startswith("0 of 1 ") and others.endswith("collapsed (JAX, float32, CPU).")
    assert "all else equal (JAX, float32, CPU): 0 of 1 " in twins and "2 of 2" not in twins
    assert "JAX" in made["The collapse"].body[0]


def test_runs_that_differ_in_the_pixels_alone_tell_of_them(tmp_path):
    known = EXPERIMENTS | {"ours/one_scaled": experiment(input_scale="0..1")}
    known = {name: of | {"defaults": BASE | {"input_scale": "0..255"}} for name, of in known.items()}
    runs = [
        run(tmp_path, name, seed, last, parameters={"input_scale": scale})
        for name, last, scale in (
            ("saravanan2019/one", lambda y: always(y, 3), "0..255"),
            ("ours/one_scaled", lambda y: answers(y, 2), "0..1"),
        )
        for seed in range(4)
    ]
    made = page.all_causes(runs, known, tmp_path)["The collapse"]
    text = " ".join(made.conclusion)
    assert "4 of 4 [51,\u00a0100\u00a0%] runs with the clipped loss and pixels of 0..255" in text
    assert re.search("; with pixels of 0..1 and nothing else changed 0 of 4 .*? did \\(TensorFlow", made.conclusion[0])
    assert "input scale 0..255 against 0..1, all else equal" in text
    assert "the scale of the pixels makes the difference" in text
    figure = figures.courses([grouped(*runs)], np.ones(7))
    assert [text.get_text() for text in figure.legends[0].texts] == ["as published", "pixels of another scale"]


def claim(name, verdict, **changes):
    known = {"id": name, "about": "own", "kind": "accuracy", "reported": 60.58, "measured": 61.0, "interval": (60, 62)}
    return known | {"unit": "%", "seeds": 3, "verdict": verdict} | changes


def test_each_paper_is_told_by_its_verdicts():
    judged = [
        claim("saravanan2019/adam-128", "reproduced"),
        claim("saravanan2019/unseen-test-images", "not reproduced", measured=568, interval=None, unit="", about="data"),
        claim("saravanan2019/some-other", "reproduced"),
        claim("saravanan2019/quoted", "not testable", about="others"),
        claim("vorontsov2018/test-accuracy", "inconclusive", reported=60),
    ]
    first, second = sections.papers(judged).splitlines()
    assert "**reproduced**: the accuracy of its best network, 60.58 % (ours: 61.00 % [60.00,\u00a062.00]);" in first
    assert "**not reproduced**: that no test image was seen in training (568 were)." in first
    assert "Of its 3 claims about the data and its own work: 2 reproduced, 1 not reproduced" in first
    assert "Vorontsov" in second and "**inconclusive**: the 60 % on its test rows" in second
    turned = sections.papers([claim("saravanan2019/adam-128", "not reproduced")])
    assert "**not reproduced**: the accuracy of its best network" in turned
    assert sections.papers([]).startswith("No claim")


def test_the_papers_are_told_by_claims_that_there_are():
    names = {
        f"{path.stem}/{name}"
        for path in paths.CLAIMS.glob("*.yaml")
        for name in re.findall("^- id: (.+)$", path.read_text(), re.MULTILINE)
    }
    assert sections.TOLD.keys() <= names


def test_what_the_page_is_made_from_is_folded(tmp_path):
    record = run(tmp_path, "saravanan2019/one", 0, lambda y: always(y, 3))
    output = nbformat.v4.new_output("display_data", {"text/html": show.made_from([record]).data})
    cells = [nbformat.v4.new_code_cell("", outputs=[output], execution_count=1)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "page.ipynb")
    report_page.to_html(tmp_path / "page.ipynb", tmp_path / "page.html")
    (folded,) = BeautifulSoup((tmp_path / "page.html").read_text(), "html.parser").find_all("details")
    assert "SHA-256" in folded.get_text() and not folded.has_attr("open")


def test_a_changed_prediction_changes_the_conclusions(tmp_path, monkeypatch):
    conclusions = []
    for learned in (5, 3):
        results = tmp_path / str(learned)
        results.mkdir()
        whole_study(results, monkeypatch, learned)
        groups = grouped(*(record for record in records.load(results) if "sweep" not in record))
        leaked = page.leaked_rows(groups, EXPERIMENTS, rows.leaked_ids(results), rows.nearest(results))
        causes = leaked, page.label_noise(groups), page.two_test_sets(groups)
        conclusions.append([cause.conclusion for cause in causes])
    assert all(one != two for one, two in zip(*conclusions))


# ---- Figures


def test_the_loss_line_passes_through_released_and_certain_losses(tmp_path):
    record = run(tmp_path, "saravanan2019/one", 0, lambda y: certain(y, 3))
    axes = figures.loss_line(collapse.losses([record], [])).axes[0]
    line, ours, released = axes.lines
    slope = (line.get_ydata()[1] - line.get_ydata()[0]) / 100
    for x, y in zip([*ours.get_xdata(), *released.get_xdata()], [*ours.get_ydata(), *released.get_ydata()]):
        assert y == pytest.approx(line.get_ydata()[0] + slope * x, abs=1e-3)


def test_constant_classifiers_name_each_printed_figure_once():
    axes = figures.constant_classifiers(collapse.test_counts(), collapse.PRINTED).axes[0]
    words = [text.get_text() for text in axes.texts]
    assert [word for word in words if "printed" in word] == ["printed: 13.35", "printed: 17.38", "printed: 24.72"]
    assert [bar.get_height() for bar in axes.patches][3] == pytest.approx(24.714, abs=1e-3)


def test_first_steps_draw_every_setting_and_two_medians(tmp_path):
    record = sweep(tmp_path, [("clipped", "0..255", True), ("logits", "0..255", False)])
    figure = figures.first_steps(record["sweep"], collapse.traces(record), by_collapse=True)
    assert [len(axes.lines) for axes in figure.axes] == [4] * len(collapse.TRACES)
    assert [text.get_text() for text in figure.legends[0].texts] == ["collapsed", "not collapsed", "rate 0.001"]


def test_forest_leaves_out_an_interval_that_is_not_there():
    axes = figures.forest([("a", (0.1, 0.05, 0.2)), ("b", (0.3, math.nan, math.nan))], "points").axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b"]
    assert axes.get_xlabel() == "points" and axes.get_xlim()[1] > 30


def test_long_titles_stay_within_the_figure():
    levels = {level: {"n": 10, "accuracy": 0.5, "interval": (0.4, 0.6)} for level in ferplus.LEVELS}
    title = "Proposed CNN, Adam, batch 128, 20 epochs (JAX, tensorfloat32, GPU)"
    figure = figures.agreement([(title, levels)] * 6)
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0 and legend.x1 <= figure.bbox.x1 and legend.y1 <= figure.bbox.y1


def test_a_damaged_list_of_the_audit_is_named_and_a_missing_one_is_none(tmp_path):
    assert len(rows.leaked_ids(tmp_path)) == 0 and rows.flat(tmp_path) == [] and rows.nearest(tmp_path) == {}
    audit(tmp_path, leaked=[(28709, "Training"), (28710, "PublicTest")], flat=[(28711, "sad")])
    assert rows.leaked_ids(tmp_path).tolist() == [28709] and rows.flat(tmp_path)[0]["row"] == 28711
    path = tmp_path / "audit" / "leaked.csv"
    path.write_text(path.read_text().replace("28710", "?"))
    with pytest.raises(
        ValueError, match=r"leaked.csv, line 3, row: found '\?', expected a whole number; make it again"
    ):
        rows.leaked_ids(tmp_path)
