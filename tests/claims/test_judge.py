"""The ledger, the evidence that records give, and results/claims.json: no verdict without the runs that tell."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import yaml
from jsonschema import Draft202012Validator
from made_up_records import always, answers, network, survey, tree

from fer_lib import paths, runs
from fer_lib.claims import judge, ledger, measures, rules
from fer_lib.data import emotions
from fer_lib.evaluation import metrics, pooled, records, statistics
from fer_lib.report import parts, sections, tables
from fer_lib.report.causes import rows as rows_of

ROWS = "PublicTest+PrivateTest"
EXPERIMENTS = {
    f"saravanan2019/{name}": {"title": name, "where": "nowhere", "reported": {}, "parameters": parameters}
    for name, parameters in {
        "a": {"model": "feedforward", "data": "fer2013"},
        "b": {"model": "feedforward", "data": "fer2013"},
        "fixed": {"data": "fer2013", "min_samples_split": 40, "random_split": False},
    }.items()
}
ENTRY = {"id": "it", "where": "Table I", "claim": "It is so.", "kind": "accuracy", "reported": 60.0}
A, B, FIXED = EXPERIMENTS


def written(folder, *entries):
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump([ENTRY | entry for entry in entries]))
    return ledger.read(folder, EXPERIMENTS)


def only(tmp_path, entry, found):
    entries = written(tmp_path / "claims", entry)
    (line,) = judge.judge_claims(entries, found, EXPERIMENTS, tmp_path)
    return line


def learned(tmp_path, wrong_every, name="a", **changes):
    """A record for each seed, wrong on every so-many-th row."""
    return [
        network(tmp_path, seed, lambda y, k=k: answers(y, k), name=name, **changes)
        for seed, k in enumerate(wrong_every)
    ]


@pytest.fixture(scope="module")
def committed():
    known = runs.experiments()
    found = records.load(paths.RESULTS)
    return judge.judge_ledger(found, known, paths.RESULTS)


# ---- the committed ledger and its verdicts


def test_committed_verdicts_are_what_the_records_say(committed):
    assert (paths.RESULTS / "claims.json").read_text() == judge.to_json(committed)


def test_the_readme_shows_the_first_of_them(committed):
    first = [line for line in committed if line["headline"]]
    assert 8 <= len(first) <= 16 and {line["id"].split("/")[0] for line in first} == {"saravanan2019", "vorontsov2018"}
    found, known = records.load(paths.RESULTS), runs.experiments()
    part = sections.in_short(committed, found, known, "results/")
    assert parts.with_part(parts.README, "make report", part) == parts.README.read_text()
    assert all(tables.short(line).rstrip(".") in part and line["headline"]["found"] in part for line in first)
    assert sorted(line["headline"]["place"] for line in first) == list(range(1, 9))


def test_every_claim_is_a_line(committed):
    for line in committed:
        cells = [tables.short(line), line["where"], *tables._outcome(line).values()]
        assert max(map(len, cells)) <= 90 and "(" not in tables.short(line)
        brackets = line["claim"].removeprefix(tables.short(line).rstrip("."))
        assert brackets in ("", ".") or tables._reasons(line)["Tested here"][1:-1] in brackets


def test_the_forest_has_the_accuracies_of_both_papers_each_once(committed):
    """Each of them on all test rows: no recall of an emotion, no tree on other rows, nothing said twice."""
    known = runs.experiments()
    reported = {
        name: experiment["reported"]["accuracy"]
        for name, experiment in known.items()
        if "accuracy" in experiment.get("reported", {}) and experiment["where"].startswith(("Table I,", "Table V,"))
    }
    drawn = [line for line in committed if line["label"] and line["id"].startswith("saravanan2019/")]
    assert sorted({*reported.values()}) == sorted({line["reported"] for line in drawn})
    for line in committed:
        if line["label"]:
            values, unit = line["values"], line["unit"]
            assert line["kind"] in ("accuracy", "fillings") and line["about"] == "own"
            assert line["kind"] == "fillings" or len(values) == line["seeds"]
            assert unit != "%" or min(values) <= line["measured"] <= max(values)


def test_every_interval_says_of_what_it_is(committed):
    of = {line["id"].split("/")[1]: line["interval_of"] for line in committed}
    assert of["tree-accuracy"] == "a new run" and of["simple-cnn-accuracy"] == "share of seeds"
    assert of["adam-128-unseen"] == "the mean" and of["validation-accuracy"] == "a new run of any filling"
    assert all(bool(line["interval"]) == bool(line["interval_of"]) for line in committed)


def test_every_claim_is_whole_and_its_runs_exist(committed):
    assert len(committed) >= 40
    assert len({line["id"] for line in committed}) == len(committed)
    for line in committed:
        assert line["verdict"] in rules.VERDICTS and line["because"] and line["rule"]
        assert len(set(line["runs"])) == len(line["runs"]) and bool(line["runs"]) == bool(line["seeds"])
        for folder in line["runs"]:
            assert (paths.RESULTS / folder / "metrics.json").exists()
        if line["seeds"] < 3 and line["kind"] in ("accuracy", "behaviour", "ordering"):
            assert line["verdict"] in (rules.INCONCLUSIVE, rules.NOT_TESTABLE)
        assert bool(line["decides"]) == (line["verdict"] == rules.INCONCLUSIVE)  # every one says what would


def test_counts_of_the_data_are_judged(committed):
    lines = {line["id"]: line for line in committed}
    measured = {name: lines[f"saravanan2019/{name}"]["measured"] for name in ("images", "disgust-images")}
    assert measured == {"images": 35887, "disgust-images": 547}
    assert lines["saravanan2019/training-images"]["measured"] + lines["saravanan2019/test-images"]["measured"] == 35887
    leaked = lines["saravanan2019/unseen-test-images"]
    assert (leaked["measured"], leaked["verdict"]) == (568, "not reproduced")
    assert lines["vorontsov2018/classes-are-ekmans"]["measured"] == "neutral"


def test_causes_named_in_the_ledger_are_what_the_records_show(committed):
    lines = {line["id"].split("/")[1]: line for line in committed}
    found = records.load(paths.RESULTS)
    best, deep, shallow = (
        [record for record in found if record["experiment"] == name and made in record["folder"].name]
        for name, made in (
            ("saravanan2019/table5_adam_128", "tensorfloat32"),
            ("saravanan2019/table1_decision_tree_fixed_split", ""),
            ("ours/claim_tree_depth", ""),
        )
    )
    scaled = [record for record in found if record["experiment"].endswith("_scaled")]
    assert len(scaled) >= 13 and not any(metrics.collapsed(pooled.headline(record)) for record in scaled)
    for record in best:  # anger-and-fear-mix
        if metrics.collapsed(pooled.headline(record)):
            continue
        mixed = measures.confused_pairs(record, "last", ROWS)
        pairs = [{emotions.FER2013[code] for code in pair} for pair in sorted(mixed, key=mixed.get)[-3:]]
        assert set().union(*pairs) == {"sad", "neutral", "fear", "angry"} and all("sad" in pair for pair in pairs)
    leaked = rows_of.leaked_ids(paths.RESULTS)
    (before,), (after,) = rows_of.leakage([deep], leaked), rows_of.leakage([shallow], leaked)
    assert after["leaked"] < before["leaked"] and after["clean"] > before["clean"]  # tree-no-other-parameter
    two = [record for record in found if record["experiment"] == "ours/claim_tree_split_2"]
    (finer,) = rows_of.leakage([two], leaked)
    assert before["clean"] > finer["clean"] and before["accuracy"] < finer["accuracy"]  # tree-min-samples-split
    assert lines["tree-min-samples-split"]["verdict"] == rules.NOT_REPRODUCED


@pytest.fixture
def results(tmp_path):
    """A copy of the committed results."""
    shutil.copytree(paths.RESULTS / "runs", tmp_path / "results" / "runs")
    shutil.copytree(paths.RESULTS / "audit", tmp_path / "results" / "audit")
    return tmp_path / "results"


def test_a_changed_record_changes_its_figure_and_nothing_else(results, committed):
    known = runs.experiments()
    before = judge.judge_ledger(records.load(results), known, results)
    assert before == committed
    path = results / "runs/saravanan2019/table1_feedforward/tensorflow-seed0/metrics.json"
    record = json.loads(path.read_text())
    score = record["metrics"]["last"][ROWS]
    score["predicted"] = score["predicted"][3:] + score["predicted"][:3]  # happy becomes angry
    path.write_text(json.dumps(record))
    after = judge.judge_ledger(records.load(results), known, results)
    changed = {line["id"]: line["measured"] - old["measured"] for old, line in zip(before, after) if old != line}
    assert changed == {"saravanan2019/feedforward-always-angry": 1}


def test_changed_predictions_change_the_order(results, tmp_path):
    folder = tmp_path / "claims"
    folder.mkdir()
    order = ["saravanan2019/table1_decision_tree_fixed_split", "saravanan2019/table1_simple_cnn"]
    (folder / "x.yaml").write_text(yaml.safe_dump([ENTRY | {"kind": "ordering", "runs": order}]))
    known = runs.experiments()

    def judged():
        (line,) = judge.judge_claims(ledger.read(folder, known), records.load(results), known, results)
        return line

    before = judged()
    assert (before["verdict"], before["seeds"], len(before["runs"])) == ("inconclusive", 3, 6)
    counted = "a network collapsed in 3 of 3 seeds; counted by seed, 3 have the claimed order"
    assert before["because"] == f"{counted}; an interval includes no difference"
    (place,) = (results / run for run in before["runs"] if order[1] in run and run.endswith("seed1"))
    record = json.loads((place / "metrics.json").read_text())
    arrays = records.predictions(records.read(place))
    arrays["classes_last"] = arrays["labels"]  # one seed that knows everything
    records.write(place, record, arrays)
    after = judged()
    assert after["verdict"] == "inconclusive" and after["because"].endswith(
        "counted by seed, 2 have the claimed order; an interval includes no difference"
    )
    assert after["measured"] == pytest.approx(before["measured"] - (100 - 24.728) / 3, abs=0.01)


def test_a_damaged_prediction_file_is_an_error(results):
    place = results / "runs/saravanan2019/table1_simple_cnn/tensorflow-seed1/predictions.npz"
    place.write_bytes(place.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="tensorflow-seed1/predictions.npz: found SHA-256"):
        records.load(results)


def test_without_the_audit_its_counts_are_not_testable(tmp_path):
    entry = {"kind": "count", "measure": "uniform images", "reported": 0}
    line = only(tmp_path, entry, [])
    assert line["verdict"] == "not testable" and "missing: audit/summary.csv" in line["because"]


def test_cut_down_runs_and_drawn_faces_are_judged_by_nothing(tmp_path):
    smoke = network(tmp_path, 0, lambda y: answers(y, 2), profile="smoke", data="drawn_faces")
    assert judge.judge_ledger([smoke], EXPERIMENTS, tmp_path) == []
    assert "None: a claim is tested by full runs on FER2013 only." in sections.verdicts([])


# ---- reading


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "hearsay"}, "kind: found 'hearsay', expected one of accuracy, fillings, behaviour"),
        ({"runs": ["saravanan2019/c"]}, "runs: no experiment is called 'saravanan2019/c'; expected one of .*/a"),
        ({}, "lacks runs, which kind accuracy needs"),
        ({"runs": [A, B]}, "runs: found 2 experiments, expected one"),
        ({"runs": [A], "measure": "beauty"}, "measure: found 'beauty', expected one of accuracy"),
        ({"runs": [A], "colour": 1}, "found colour, which kind accuracy does not have"),
        ({"runs": [A], "missing": "x"}, "found missing beside runs; expected one or the other"),
        ({"runs": A}, "runs: found 'saravanan2019/a', expected a list"),
        ({"kind": "behaviour", "runs": [A]}, "lacks measure, within"),
        ({"kind": "behaviour", "runs": [A], "measure": "epochs", "within": 3}, "within: found 3, expected"),
        ({"kind": "behaviour", "runs": [A], "measure": "epochs", "within": [3, 2]}, "within: found"),
        ({"kind": "behaviour", "runs": [A], "measure": "epochs", "within": [None, None]}, "within: found"),
        ({"kind": "behaviour", "runs": [A], "measure": "epochs", "within": ["a", 2]}, "within: found"),
        ({"runs": []}, "runs: found 0 experiments, expected a list"),
        ({"runs": [[A]]}, "runs: found .*, expected a list"),
        ({"runs": [A], "within": [0, 1], "of": 1}, "found of, within, which kind accuracy does not have"),
        ({"runs": [A], "it's": 1, 3: 1}, "found it's, 3, which kind accuracy does not have"),
        ({"missing": "x", "colour": 1}, "found colour, which kind accuracy does not have"),
        ({"kind": "ordering", "runs": [A]}, "expected two or more, the best first"),
        ({"kind": "no difference", "runs": [A]}, "expected two or more"),
        ({"kind": "ordering", "runs": [A, B], "average": True}, "runs: found 2 experiments, expected the one whose"),
        ({"kind": "ordering", "runs": [A, B], "emotion": "glad"}, "emotion: found 'glad', expected one of angry"),
        ({"kind": "count", "measure": "epochs"}, "measure: found 'epochs', expected one of images"),
        ({"kind": "quoted"}, "lacks source"),
        ({"kind": "fillings", "runs": [A, B]}, "lacks readings"),
        (
            {"kind": "fillings", "runs": [A], "readings": ["PublicTest"]},
            "runs: found 1 experiment, expected two or more",
        ),
        ({"missing": "x", "about": "me"}, "about: found 'me', expected one of own, data, others"),
        ({"reported": "a lot", "runs": [A]}, "reported: found 'a lot', expected a number"),
        ({"kind": "relation", "of": [1, 2, 3, 4]}, "lacks with"),
        ({"kind": "relation", "of": [1], "with": ["x"]}, r"with: found \['x'\], expected a list of numbers"),
        ({"where": 3, "missing": "x"}, "where: found 3, expected text, in quotes if need be"),
        ({"claim": ["x"], "missing": "x"}, r"claim: found \['x'\], expected at most 90 characters"),
        ({"runs": [A], "measure": ["epochs"]}, r"measure: found \['epochs'\], expected text"),
        ({"runs": [A], "epoch": "first"}, "epoch: found 'first', expected one of last, best, milestone"),
        ({"runs": [A], "unknown_rows": "many"}, "unknown_rows: found 'many', expected a whole number of rows"),
        ({"kind": "ordering", "runs": [A, B], "first": "yes"}, "first: found 'yes', expected true or false"),
        (
            {"kind": "share", "runs": [A], "measure": "epochs", "within": [0, 9]},
            "measure: found 'epochs', expected one of",
        ),
        (
            {"kind": "share", "runs": [A, B], "measure": "happy recognised", "within": [0, 9]},
            "runs: found 2 experiments, expected one",
        ),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, entry, message):
    with pytest.raises(ValueError, match=rf"^claims/study.yaml, claim 2 \(wrong\): .*{message}"):
        written(tmp_path / "claims", {"missing": "x"}, entry | {"id": "wrong"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- id: x\n  id: y\n", "study.yaml, line 2: found no YAML .'id' again., expected YAML; correct the line"),
        ("- id: [\n", "study.yaml, line 2: found no YAML"),
        ("id: x\n", "study.yaml: found {'id': 'x'}, expected a list of claims, each after a dash; the head of"),
        ("x", "study.yaml: found 'x', expected a list of claims"),
        ("- x\n", r"study.yaml, claim 1 \('x'\): lacks where, claim, kind, reported"),
    ],
)
def test_a_ledger_that_is_no_list_of_claims_is_named(tmp_path, text, message):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(ValueError, match=f"^{tmp_path.name}/{message}"):
        ledger.read(tmp_path, EXPERIMENTS)
    (tmp_path / "study.yaml").write_text("# none yet\n")
    assert ledger.read(tmp_path, EXPERIMENTS) == []


def test_a_ledger_that_a_system_hid_is_none(tmp_path):
    claims = written(tmp_path, {"runs": [A]})
    (tmp_path / "._study.yaml").write_bytes(b"\0\5\x16\7\0")
    assert ledger.read(tmp_path, EXPERIMENTS) == claims != []


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("rules.yaml", ("- date:", "- dat:"), "rules.yaml, change 1: found the key 'dat', expected date; write it as"),
        (
            "rules.yaml",
            ("2026-11-22", "once"),
            "rules.yaml, change 1, date: found 'once' .str., expected a day, such as",
        ),
        ("rules.yaml", ("what: First", "what: [First"), "rules.yaml, line .*: found no YAML"),
        ("rules.yaml", ("- date:", "- [a]\n- date:"), "rules.yaml, change 1: found .'a'., expected a mapping"),
        ("2026-11-28.json", ("{", "[{"), "2026-11-28.json, line .*: found no JSON .*, expected JSON"),
        ("2026-11-28.json", (": [", ": [1, "), "2026-11-28.json, .*: found .1, .*, expected the verdicts before, by"),
        ("2026-11-28.yaml", (": ", ": 3 #"), "2026-11-28.yaml, .*: found 3 .int., expected text"),
    ],
)
def test_a_damaged_history_is_named(tmp_path, file, change, message):
    shutil.copytree(paths.CLAIMS, tmp_path / "claims")
    path = tmp_path / "claims" / "history" / file
    before, found, after = path.read_text().rpartition("\n# ")  # comments at the head stay
    text = before + found + after.replace(*change, 1) if found else after.replace(*change, 1)
    assert text != path.read_text()
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^claims/history/{message}"):
        ledger.moves(tmp_path / "claims")


def test_a_history_of_nothing_is_named(tmp_path):
    shutil.copytree(paths.CLAIMS, tmp_path / "claims")
    (tmp_path / "claims" / ledger.HISTORY / "rules.yaml").write_text("# none\n")
    with pytest.raises(ValueError, match="rules.yaml: found no change, expected each change of the rules"):
        ledger.moves(tmp_path / "claims")


def test_a_headline_with_a_figure_that_there_is_not_is_named():
    claim = {"id": "study/x", "headline": {"place": 1, "found": "{measured:.2f} and {more}"}}
    with pytest.raises(ValueError, match="claim study/x, headline: found .*'more'.*, expected text with some of {meas"):
        judge._headline(claim, rules.Verdict(rules.REPRODUCED, 1.0, None, "because"), [1.0], 0, 1)


def test_the_schema_is_one():
    Draft202012Validator.check_schema(ledger.schema())
    assert ledger.schema()["$defs"]["ordering"]["properties"]["emotion"]["enum"] == list(emotions.FER2013)


def test_the_history_names_each_rule_and_gives_each_move_a_reason(tmp_path):
    named = " ".join(change["rules"] for change in ledger.changes(paths.CLAIMS))
    assert all(rule in named for rule in rules.RULES)
    moved = ledger.moves(paths.CLAIMS)
    assert len(moved) >= 30 and all({line["before"], line["after"]} <= {*rules.VERDICTS, "–"} for line in moved)
    assert all(line["id"] in sections.history() and line["reason"] in sections.history() for line in moved)
    shutil.copytree(paths.CLAIMS, tmp_path / "claims")
    (tmp_path / "claims/history/2026-11-28.yaml").write_text("vorontsov2018/gone: It went.\n")
    with pytest.raises(ValueError, match="2026-11-28.yaml: found no reason for saravanan2019/tree-min-samples-split"):
        ledger.moves(tmp_path / "claims")


def test_incomplete_and_doubled_entries_are_named(tmp_path):
    folder = tmp_path / "claims"
    with pytest.raises(ValueError, match=r"claim 2 \(it\): has the id of an earlier one"):
        written(folder, {"missing": "x"}, {"missing": "y"})
    (folder / "study.yaml").write_text("- id: short\n  kind: count\n")
    with pytest.raises(ValueError, match=r"claim 1 \(short\): lacks where, claim, reported"):
        ledger.read(folder, EXPERIMENTS)
    (folder / "study.yaml").write_text("- images\n")
    with pytest.raises(ValueError, match=r"claim 1 \('images'\): lacks where"):
        ledger.read(folder, EXPERIMENTS)
    (folder / "study.yaml").write_text("")
    assert ledger.read(folder, EXPERIMENTS) == []


# ---- evidence


def test_accuracy_equals_a_hand_calculation(tmp_path):
    found = learned(tmp_path, (5, 5, 6, 5, 5))  # of 350 rows 70 and 59 are wrong
    line = only(tmp_path, {"runs": [A], "reported": 80.5, "why": "It was late.", "note": "Or early."}, found)
    values = [80.0, 80.0, 100 * 291 / 350, 80.0, 80.0]
    _, low, high = statistics.prediction_interval(values)
    assert line["measured"] == pytest.approx(np.mean(values), abs=1e-4) and line["unit"] == "%"
    assert line["interval"] == pytest.approx([low, high], abs=1e-4) and high - low > 6
    assert line["verdict"] == "inconclusive" and line["why"] == "It was late." and line["note"] == "Or early."
    assert re.fullmatch(r"\d+ seeds: enough in \d+ % of simulations", line["decides"])
    assert line["computed_by"] == "TensorFlow, float32, CPU" and line["others"] == []
    assert line["runs"] == [f"runs/saravanan2019/a/tensorflow-seed{seed}" for seed in range(5)]
    exact = only(tmp_path, {"runs": [A], "reported": 80.0, "why": "It was late."}, learned(tmp_path, (5, 5, 5)))
    assert (exact["verdict"], exact["why"]) == ("reproduced", None)


@pytest.mark.parametrize("precision", ["bfloat16", "tensorfloat32"])
def test_a_verdict_from_another_precision_says_so(tmp_path, precision):
    whole = only(tmp_path, {"runs": [A]}, learned(tmp_path, (3, 3, 4)))
    half = only(tmp_path, {"runs": [A]}, learned(tmp_path, (3, 3, 4), parameters={"precision": precision}))
    seen = f"computed in {precision} on TensorFlow; the papers used float32 on TensorFlow"
    assert half["because"] == f"{whole['because']}; {seen}"
    assert (half["verdict"], half["computed_by"]) == (whole["verdict"], f"TensorFlow, {precision}, CPU")


def test_a_constant_answer_has_the_name_that_the_record_gives_it(tmp_path):
    """Contempt is an emotion of AffectNet alone, and the mood of a group is none of FER2013's."""
    record = network(tmp_path, 0, lambda labels: answers(labels, 3))
    assert list(measures.constant_accuracies(record, "last", "PrivateTest")[0]) == list(emotions.FER2013)
    named = record | {"data": record["data"] | {"emotions": [*emotions.FER2013[:-1], "contempt"]}}
    assert list(measures.constant_accuracies(named, "last", "PrivateTest")[0])[-1] == "contempt"


def test_rows_and_epoch_can_be_others_than_the_headline(tmp_path):
    found = [network(tmp_path, s, lambda y: answers(y, 2), best=lambda y: answers(y, 5), name="a") for s in range(3)]
    entry = {"runs": [A], "rows": "PrivateTest", "epoch": "best"}
    assert only(tmp_path, entry, found)["measured"] == 80.0
    with pytest.raises(ValueError, match="claim study/it: .*seed0: no scores of the best epoch on Public; there are"):
        only(tmp_path, entry | {"rows": "Public"}, found)


def test_an_experiment_without_runs_is_inconclusive_until_they_come(tmp_path):
    line = only(tmp_path, {"runs": [A]}, [])
    assert (line["verdict"], line["seeds"], line["runs"]) == ("inconclusive", 0, [])
    assert line["because"] == f"no run of {A} yet"
    assert only(tmp_path, {"runs": [A], "reported": 80.0}, learned(tmp_path, (5, 5, 5)))["verdict"] == "reproduced"


def test_the_largest_group_judges_and_the_others_are_named(tmp_path):
    found = learned(tmp_path, (5, 5)) + learned(tmp_path, (2, 2, 2), backend="jax")
    line = only(tmp_path, {"runs": [A]}, found)
    assert (line["measured"], line["seeds"], line["computed_by"]) == (50.0, 3, "JAX, float32, CPU")
    assert line["others"] == ["saravanan2019/a: TensorFlow, float32, CPU, 2 seeds"]


@pytest.mark.parametrize(
    "change",
    [
        {"profile": "quick"},
        {"parameters": {"model": "simple_cnn"}},
        {"data": "drawn_faces"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_runs_of_another_kind_are_no_evidence(tmp_path, change):
    assert only(tmp_path, {"runs": [A]}, learned(tmp_path, (5, 5, 5), **change))["seeds"] == 0


def test_unofficial_data_is_no_evidence(tmp_path):
    found = [record | {"data": record["data"] | {"source": {"md5": "0", "official_md5": "1"}}}
             for record in learned(tmp_path, (5, 5, 5))]  # fmt: skip
    assert only(tmp_path, {"runs": [A]}, found)["seeds"] == 0


def test_collapsed_seeds_are_never_judged_by_an_interval(tmp_path):
    found = [network(tmp_path, seed, lambda y: always(y, 4), name="a") for seed in range(4)]
    line = only(tmp_path, {"runs": [A], "reported": 14.28}, found)
    assert line["rule"] == rules.RULES["accuracy"]
    assert (line["verdict"], line["measured"], line["unit"]) == ("reproduced", 4, "seeds")
    found[0] = network(tmp_path, 0, lambda y: answers(y, 2), name="a")
    line = only(tmp_path, {"runs": [A], "reported": 14.28}, found)
    assert (line["measured"], line["verdict"], line["seeds"]) == (3, "reproduced", 4)  # three in four, 19 % at least
    line = only(tmp_path, {"runs": [A], "reported": 90.0}, found)  # of a network that learned: one of four does
    assert (line["measured"], line["verdict"]) == (1, "inconclusive") and "3 of 4 seeds collapsed" in line["because"]


def test_fillings_are_judged_on_every_reading_with_all_their_seeds(tmp_path):
    found = learned(tmp_path, (5, 5, 6)) + learned(tmp_path, (4, 4), "b")
    found.append(network(tmp_path, 2, lambda y: always(y, 3), name="b"))  # it collapsed, and is no accuracy of these
    entry = {"kind": "fillings", "runs": [A, B], "readings": ["PublicTest", "PrivateTest"], "reported": 75.0}
    line = only(tmp_path, entry, found)
    assert (line["verdict"], line["unit"], line["seeds"]) == ("reproduced", "%", 6)
    assert line["because"].startswith("2 of 4 fillings would give it (b on PublicTest, b on PrivateTest)")
    assert only(tmp_path, entry | {"reported": 99.0}, found)["verdict"] == "not reproduced"
    line = only(tmp_path, entry, found + learned(tmp_path, (2,) * 7, "b", backend="jax"))
    assert line["seeds"] == 7 and "saravanan2019/a: TensorFlow, float32, CPU, 3 seeds" in line["others"]


def test_behaviour_over_several_experiments_is_shown_by_a_seed_that_shows_it_in_all(tmp_path):
    found = learned(tmp_path, (5, 5, 5), epochs=4) + learned(tmp_path, (5, 5), "b", epochs=4)
    found.append(network(tmp_path, 2, lambda y: answers(y, 5), name="b", epochs=9))
    entry = {"kind": "behaviour", "runs": [A, B], "measure": "epochs", "within": [None, 5]}
    line = only(tmp_path, entry, found)
    assert (line["measured"], line["seeds"], len(line["runs"])) == (2, 3, 6)
    assert line["because"].endswith("(epochs, 5 or less needed; by seed: 4/4, 4/4, 4/9)")
    assert line["interval"] == pytest.approx(statistics.clopper_pearson(2, 3), abs=1e-4)


def test_a_behaviour_that_is_measured_is_judged_by_its_size_and_ours_by_what_would_sway_it(tmp_path):
    found = learned(tmp_path, (5, 5, 5, 5))  # of 350 rows 70 are wrong, all of them the next emotion
    entry = {"kind": "behaviour", "runs": [A], "measure": "recall of happy", "within": [70, None], "threshold": "ours"}
    line = only(tmp_path, entry, found)
    assert (line["verdict"], line["unit"], line["measured"]) == ("reproduced", "%", 80.0)
    assert line["rule"] == rules.RULES["margin"] and line["threshold"] == "ours"
    assert line["flips"] == "not reproduced at 84 instead of 70"
    seen = tables._reasons(line)["Seen"]
    assert seen.endswith("The threshold is ours; another would change the verdict: not reproduced at 84 instead of 70.")
    assert only(tmp_path, entry | {"within": [50, None]}, found)["flips"] is None
    del entry["threshold"]
    assert only(tmp_path, entry, found)["flips"] is None


def test_a_share_is_judged_over_the_faces_of_a_survey(tmp_path):
    record, name = survey(tmp_path, wrong_every=5), "saravanan2019/a"
    record = record | {"experiment": name, "parameters": record["parameters"] | EXPERIMENTS[name]["parameters"]}
    entry = {"kind": "share", "runs": [A], "measure": "happy recognised", "within": [60, None]}
    line = only(tmp_path, entry, [record])
    k, n = 24, 30  # of 210 faces every fifth is wrong, and every seventh happy
    assert (line["verdict"], line["unit"], line["measured"]) == ("reproduced", "%", 100 * k / n)
    assert line["interval"] == pytest.approx([100 * end for end in statistics.clopper_pearson(k, n)], abs=1e-3)
    assert line["because"] == "24 of 30 faces: interval inside 60 to 100 %" and line["computed_by"].startswith(
        "ONNX Runtime"
    )
    assert line["runs"] == ["runs/ours/live_conditions/onnxruntime-seed0"]
    second = {"measure": "second prediction right where the first is wrong", "within": [None, 50]}
    assert only(tmp_path, entry | second, [record])["because"] == "42 of 42 faces: interval outside 0 to 50 %"
    assert only(tmp_path, entry, [])["verdict"] == "inconclusive"


def test_a_face_that_was_missed_is_not_recognised_and_stays_among_the_faces(tmp_path):
    before, after = (survey(tmp_path / name, 5, missed) for name, missed in (("all", 0), ("some", 4)))
    arrays, usual = records.predictions(after), records.usual_level(after["conditions"])
    happy, found = arrays["labels"] == 3, arrays["found_first"][0, usual] != records.MISSED
    right = arrays["first"][usual] == arrays["labels"]
    assert 0 < (happy & right & found).sum() < (happy & right).sum()
    share = measures.SHARES["happy recognised"]
    assert share(before) == ((happy & right).sum(), happy.sum())
    assert share(after) == ((happy & right & found).sum(), happy.sum())


def test_shares_before_a_camera_are_counted_from_the_frame_to_the_prediction(monkeypatch):
    missed, (angry, _, fear, happy, sad) = records.MISSED, range(5)
    faces = np.array([
        # label, first and second of the true cut, first of the cut that was found, seconds
        (happy, happy, sad, happy, 0.05),
        (happy, happy, sad, missed, 0.01),  # not recognised, whatever a true cut shows
        (happy, happy, sad, sad, 0.3),  # the detector's own cut is taken for sad
        (happy, sad, happy, happy, 0.1),  # ... and here for happy
        (angry, sad, angry, sad, 0.05),
        (angry, sad, angry, missed, 0.02),  # has no prediction that could be wrong
        (fear, sad, happy, sad, 0.05),
        (fear, fear, happy, fear, 0.05),
    ])  # fmt: skip
    columns = dict(zip(("labels", "first", "second", "found_first", "seconds"), faces.T))
    nothing = {name: np.full(8, missed) for name in columns}  # another level, which counts nowhere
    arrays = {name: np.stack([nothing[name], here]) for name, here in columns.items()}
    arrays |= {
        "labels": columns["labels"],
        "found_first": arrays["found_first"][None],
        "seconds": columns["seconds"][None],
    }
    monkeypatch.setattr(records, "predictions", lambda record: arrays)
    asked = {"conditions": [{"usual": False}, {"usual": True}], "parameters": {"detectors": ["paper"]}}
    counted = {name: share(asked) for name, share in
               measures.SHARES.items()}  # fmt: skip
    assert counted["happy recognised"] == (2, 4)
    assert counted["angry recognised"] == (0, 2) and counted["fear recognised"] == (1, 2)
    assert counted["angry and fear recognised"] == (1, 4)
    assert counted["disgust recognised"] == (0, 0)
    assert counted["second prediction right where the first is wrong"] == (2, 3)  # rows 4 and 5 of 4, 5 and 7
    assert counted["frames classified within 0.1 s"] == (5, 6)


def test_seeds_that_only_one_experiment_has_do_not_count(tmp_path):
    entry = {"kind": "behaviour", "runs": [A, B], "measure": "epochs", "within": [1, None]}
    assert only(tmp_path, entry, learned(tmp_path, (5, 5, 5)) + learned(tmp_path, (5,), "b"))["seeds"] == 1


def test_ordering_equals_a_hand_calculation(tmp_path):
    found = learned(tmp_path, (5, 5, 5)) + learned(tmp_path, (2, 2, 2), "b")
    line = only(tmp_path, {"kind": "ordering", "runs": [A, B]}, found)
    assert (line["verdict"], line["measured"], line["unit"]) == ("reproduced", pytest.approx(30), "points")
    assert line["interval"] == [line["measured"]] * 2  # the seeds do not differ
    assert only(tmp_path, {"kind": "ordering", "runs": [B, A]}, found)["verdict"] == "not reproduced"


def test_ordering_never_mixes_backends_but_takes_the_tree(tmp_path):
    found = learned(tmp_path, (2, 2, 2)) + learned(tmp_path, (5, 5, 5), "b", backend="jax")
    found += [tree(tmp_path, seed, name="fixed", wrong_every=5) for seed in range(3)]
    line = only(tmp_path, {"kind": "ordering", "runs": [B, A]}, found)
    assert (line["verdict"], line["seeds"], line["runs"]) == ("inconclusive", 0, [])
    assert line["because"] == "its experiments have no common seed on the same backend, precision and device"
    line = only(tmp_path, {"kind": "ordering", "runs": [FIXED, A]}, found)
    assert line["verdict"] == "reproduced"
    assert line["computed_by"] == "scikit-learn, float32, CPU; TensorFlow, float32, CPU"


def test_ordering_first_compares_with_the_first_alone(tmp_path):
    found = learned(tmp_path, (50, 50, 50)) + learned(tmp_path, (2, 2, 2), "b")
    found += [tree(tmp_path, seed, name="fixed", wrong_every=5) for seed in range(3)]
    entry = {"kind": "ordering", "runs": [A, B, FIXED]}
    assert only(tmp_path, entry, found)["verdict"] == "not reproduced"  # B does not beat the tree
    assert only(tmp_path, entry | {"first": True}, found)["because"] == "2 of 2 comparisons hold"


def test_ordering_of_other_rows_is_an_error(tmp_path):
    other = {"evaluation_rows": "PrivateTest"}
    found = learned(tmp_path, (5,) * 3) + learned(tmp_path, (2,) * 3, "b", parameters=other)
    with pytest.raises(ValueError, match="claim study/it: runs: .*/a and .*/b were scored on different rows"):
        only(tmp_path, {"kind": "ordering", "runs": [A, B]}, found)
    assert only(tmp_path, {"kind": "ordering", "runs": [A, B], "rows": "PrivateTest"}, found)["seeds"] == 3
    with pytest.raises(ValueError, match="rows: found 'PrivateTest clean', expected splits"):
        only(tmp_path, {"kind": "ordering", "runs": [A, B], "rows": "PrivateTest clean"}, found)


def test_ordering_on_one_emotion_looks_at_its_rows_alone(tmp_path):
    def without(code, every):
        return lambda y: np.where((y == code)[:, None], always(y, (code + 1) % 7), answers(y, every))

    found = [network(tmp_path, seed, without(2, 100), name="a") for seed in range(3)]  # good, but blind to fear
    found += learned(tmp_path, (2, 2, 2), "b")
    assert only(tmp_path, {"kind": "ordering", "runs": [A, B]}, found)["verdict"] == "reproduced"
    fear = only(tmp_path, {"kind": "ordering", "runs": [A, B], "emotion": "fear"}, found)
    assert (fear["verdict"], fear["measured"]) == ("not reproduced", pytest.approx(-50))


def test_an_average_of_seeds_is_held_against_each_of_them(tmp_path):
    def wrong(seed):  # each seed is wrong, and not sure, on rows of its own
        def logits(y):
            own = (np.arange(len(y)) % 3 == seed)[:, None]
            return np.where(own, answers((y + 1) % 7, 999) / 2, answers(y, 999))

        return logits

    found = [network(tmp_path, seed, wrong(seed), name="a") for seed in range(3)]
    entry = {"kind": "ordering", "runs": [A], "average": True}
    line = only(tmp_path, entry, found)
    assert line["verdict"] == "reproduced" and line["measured"] > 30
    assert line["because"] == "the interval is above 0"
    assert only(tmp_path, entry, found[:1])["verdict"] == "inconclusive"


def test_no_difference_gives_the_largest_with_its_interval(tmp_path):
    found = learned(tmp_path, (5, 5, 5)) + learned(tmp_path, (2, 2, 2), "b")
    found += [tree(tmp_path, seed, name="fixed", wrong_every=5) for seed in range(3)]
    line = only(tmp_path, {"kind": "no difference", "runs": [A, FIXED]}, found)
    assert (line["verdict"], line["measured"], line["rule"]) == ("reproduced", 0, rules.RULES["no difference"])
    line = only(tmp_path, {"kind": "no difference", "runs": [A, FIXED, B]}, found)
    assert (line["verdict"], line["measured"]) == ("not reproduced", pytest.approx(30))
    assert line["because"] == "1 of 2 are within 1 point of 0, 1 entirely beyond"


def test_speed_takes_the_slowest_run(tmp_path):
    entry = {"kind": "speed", "runs": [A], "measure": "hours", "within": [0, 20], "reported": "20 hours"}
    line = only(tmp_path, entry, learned(tmp_path, (5, 5)))
    assert (line["verdict"], line["measured"], line["unit"]) == ("reproduced", 0.025, "hours")


def test_what_cannot_be_tested_says_what_is_missing(tmp_path):
    line = only(tmp_path, {"missing": "a camera"}, [])
    assert (line["verdict"], line["because"]) == ("not testable", "missing: a camera")


def test_a_milestone_is_evidence(tmp_path):
    experiments = EXPERIMENTS | {"saravanan2019/first": {"title": "f", "milestone_of": A, "parameters": {}}}
    found = learned(tmp_path, (5, 5, 5), milestone=lambda y: answers(y, 2))
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "study.yaml").write_text(yaml.safe_dump([ENTRY | {"runs": ["saravanan2019/first"]}]))
    (line,) = judge.judge_claims(ledger.read(tmp_path / "claims", experiments), found, experiments, tmp_path)
    assert (line["measured"], line["seeds"]) == (50.0, 3)


# ---- measures


def test_measures_of_one_run(tmp_path):
    """Four of ten faces are wrong in ways that are known, so that every measure can be counted by hand."""

    def logits(labels):
        given = np.eye(7)[labels] * 4
        place = np.arange(len(labels)) // 7 % 10  # each emotion has 20 and 30 rows
        angry, fear, happy = (labels == code for code in (0, 2, 3))
        given[angry & (place < 4)] = 4 * np.eye(7)[2] + 2 * np.eye(7)[0]  # fear, the second prediction right
        given[fear & (place < 2)] = 4 * np.eye(7)[0] + 2 * np.eye(7)[5]  # angry, the second prediction wrong
        given[happy & (place < 1)] = 4 * np.eye(7)[5] + 2 * np.eye(7)[3]
        return given.astype(np.float32)

    record = network(tmp_path, 0, logits, name="a")
    value = {name: measure(record, "last", ROWS) for name, (measure, _) in measures.MEASURES.items()}
    assert [value[f"recall of {name}"] for name in ("angry", "fear", "happy", "sad")] == pytest.approx(
        [60, 80, 90, 100]
    )
    assert value["accuracy"] == pytest.approx(90)
    assert value["share predicted surprise"] == pytest.approx(100 * (50 + 5) / 350)
    assert value["share of the most frequent prediction"] == pytest.approx(100 * (40 + 20) / 350)  # fear
    assert value["recall of happy minus the best other recall"] == pytest.approx(-10)
    assert value["recall of happy minus that of surprise"] == pytest.approx(-10)
    assert value["recall of surprise minus the best of the other five"] == pytest.approx(0)
    assert value["range of recall over the other five"] == pytest.approx(40)
    assert value["recall of happy minus the mean of angry, disgust, fear and sad"] == pytest.approx(90 - 85)
    assert value["rank of angry and fear among the 21 confused pairs"] == 1
    assert value["second prediction right where the first is wrong"] == pytest.approx(100 * 25 / 35)
    assert value["top-2 accuracy minus accuracy"] == pytest.approx(100 * 25 / 350)
    assert value["PublicTest minus PrivateTest accuracy"] == pytest.approx(0)
    assert value["training accuracy minus test accuracy"] == pytest.approx(60 - 90)
    assert (value["epochs"], value["hours"]) == (4, 0.025)


def test_the_pair_that_nobody_mixes_up_comes_last(tmp_path):
    record = network(tmp_path, 0, lambda y: answers(y, 2), name="a")  # each emotion is taken for the next
    measure, _ = measures.MEASURES["rank of angry and fear among the 21 confused pairs"]
    assert measure(record, "last", ROWS) == 8  # after the seven pairs of neighbours


def test_recall_is_that_of_scikit_learn(tmp_path):
    from sklearn.metrics import recall_score

    record = learned(tmp_path, (3,))[0]
    given = records.row_predictions(record, "last", ROWS)
    expected = 100 * recall_score(given["labels"], given["classes"], average=None)
    found = [measures.MEASURES[f"recall of {name}"][0](record, "last", ROWS) for name in measures.FER2013]
    assert found == pytest.approx(expected)
    assert metrics.score(given["classes"], given["labels"])["n"] == pooled.headline(record)["n"]


@pytest.mark.parametrize("lacks", ["licence", "weights"])
def test_a_claim_that_needs_what_not_everybody_has_waits_for_runs_as_not_testable(tmp_path, lacks):
    entries = written(tmp_path / "claims", {"runs": [A], "reported": 80.0, lacks: "by request; `make it` tests this"})
    (line,) = judge.judge_claims(entries, [], EXPERIMENTS, tmp_path)
    assert (line["verdict"], line["because"]) == ("not testable", f"{lacks}: by request; `make it` tests this")
    found = learned(tmp_path, (5, 5, 5))
    (line,) = judge.judge_claims(entries, found, EXPERIMENTS, tmp_path)
    assert line["verdict"] == "reproduced" and lacks not in line["because"]


# ---- what a reader sees


def test_the_table_shows_every_claim_and_the_rules(tmp_path):
    found = learned(tmp_path, (5, 5, 5)) + learned(tmp_path, (2, 2, 2), "b")
    entries = written(
        tmp_path / "claims",
        {"id": "one", "runs": [A], "reported": 80.0},
        {"id": "two", "runs": [B], "why": "It | was late."},
        {"id": "three", "kind": "ordering", "runs": [A, B], "reported": "A over B"},
        {"id": "four", "kind": "count", "measure": "images", "reported": 35887},
        {"id": "five", "missing": "a camera"},
        {"id": "six", "kind": "behaviour", "runs": [A], "measure": "epochs", "within": [4, 4], "reported": 4},
    )
    judged = judge.judge_claims(entries, found, EXPERIMENTS, tmp_path)
    counted = " ".join(sections.counts(judged, found, EXPERIMENTS))
    assert (
        "**5 claims** on what they did and found, these accuracies among them: 2 reproduced, 1 not reproduced"
        in counted
    )
    assert "**1 facts** about the data, 1 of them right, and **0 statements**" in counted
    text = sections.verdicts(judged)
    for row in (
        "| It is so. | Table I | 80.0 % | 80.00 % [80.00,\u00a080.00] a new run | **reproduced** |",
        "60.0 % | 50.00 % [50.00,\u00a050.00] a new run | **not reproduced** |",
        "| A over B | +30.00 points [",
        "| 35,887 | 35,887 | **reproduced** |",
        "| 4 | 3 of 3 [0.29,\u00a01.00] share of seeds | **inconclusive** |",
    ):
        assert row in text, row
    unfolded = tables.claims_in_html(judged)
    for row in ("It | was late.", "Missing: a camera.", '<a href="runs/study/a/">', "The reported", "Equal."):
        assert row in unfolded.replace("saravanan2019", "study"), row
    assert [unfolded.count(f'data-about="{about}"') for about in tables.ABOUT.values()] == [5, 1, 0]
    assert all(rule in sections.rules() for rule in rules.RULES.values())
    assert "| Accuracy | 1 | 1 | 0 | 0 | 1 | 3 |" in tables.verdict_counts(judged)
    page = sections.markdown(found, EXPERIMENTS, [], judged)
    assert page.index("claims** on what") < page.index("## Claims of study") < page.index("## Reported and measured")
    assert text in page and page.rstrip().endswith("</details>")
    assert [line["id"] for line in json.loads(judge.to_json(judged))["claims"]] == [f"study/{n}" for n in
            ("one", "two", "three", "four", "five", "six")]  # fmt: skip


def test_measures_that_look_at_some_rows_alone(tmp_path):
    listed = {
        name: {int(line["row"]) for line in csv.DictReader((paths.RESULTS / "audit" / f"{name}.csv").open())}
        for name in ("leaked", "several_emotions")
    }
    name = "saravanan2019/table5_adam_128/jax-tensorfloat32-seed0"
    record = records.read(paths.RESULTS / "runs" / name)
    arrays = records.row_predictions(record, "last", ROWS)
    right = arrays["classes"] == arrays["labels"]
    of = {key: np.array([row in rows for row in arrays["ids"].tolist()]) for key, rows in listed.items()}
    found = {
        key: measures.MEASURES[key][0](record, "last", ROWS) for key in measures.MEASURES if key.startswith("accu")
    }
    assert found["accuracy on all rows minus that on clean rows"] == pytest.approx(
        100 * (right.mean() - right[~of["leaked"]].mean())
    )
    several = of["several_emotions"]
    assert several.sum() == 1613 and found["accuracy on faces of one emotion minus that on faces of several"] == (
        pytest.approx(100 * (right[~several].mean() - right[several].mean()))
    )
