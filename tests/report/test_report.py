import numpy as np
import pytest
from made_up_records import always, answers, network, survey, sweep, tree
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from fer_lib import markdown
from fer_lib.evaluation import pooled, provenance, statistics
from fer_lib.report import sections, show, tables

EXPERIMENTS = {
    "saravanan2019/table1_feedforward": {
        "title": "Feed-forward network", "where": "Table I, row 2", "protocol": "as_published",
        "reported": {"accuracy": 17.38, "rows": "PublicTest+PrivateTest"}, "deviations": ["Keras 3."],
        "expect": {"accuracy": 17.4, "hours_cpu": 0.05, "hours_gpu": 0.01},
    },
    "saravanan2019/table5_adam_128": {
        "title": "Proposed CNN, Adam", "where": "Table V, row 6",
        "reported": {"accuracy": 60.58, "rows": "PublicTest+PrivateTest"}, "expect": {"hours_cpu": 10},
    },
}  # fmt: skip


def only(frame):
    assert len(frame) == 1
    return frame.to_dict("records")[0]


def test_accuracies_equal_a_hand_calculation(tmp_path):
    wrong_every = (2, 5, 7)  # of 350 rows 175, 70 and 50 are wrong
    found = [network(tmp_path, seed, lambda y, k=k: answers(y, k)) for seed, k in enumerate(wrong_every)]
    row = only(pooled.accuracies(found, EXPERIMENTS))
    expected = [175 / 350, 280 / 350, 300 / 350]
    assert row["accuracies"] == pytest.approx(expected)
    assert row["mean"] == pytest.approx(np.mean(expected))
    half = 4.302653 * np.std(expected, ddof=1) / np.sqrt(3)
    assert (row["low"], row["high"]) == pytest.approx((np.mean(expected) - half, np.mean(expected) + half))
    wilson = statistics.wilson(np.mean(expected) * 350, 350)  # one test set, however many seeds
    assert (row["wilson_low"], row["wilson_high"]) == pytest.approx(wilson)
    assert (row["seeds"], row["n"], row["epochs"], row["reported"]) == (3, 350, [4, 4, 4], 17.38)
    assert row["remarks"] == []
    line = next(line for line in tables.results(found, EXPERIMENTS).splitlines() if "Feed-forward" in line)
    assert f"| {100 * np.mean(expected):.2f} [" in line


@pytest.mark.parametrize(
    "change",
    [
        {"backend": "jax"},
        {"precision": "bfloat16"},
        {"profile": "quick"},
        {"device": {"kind": "gpu", "name": "H", "threads": 1}},
        {"parameters": {"learning_rate": 0.1}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_differs_in_more_than_the_seed_is_never_pooled(tmp_path, change):
    one = network(tmp_path, 0, lambda y: answers(y, 2))
    two = network(tmp_path / "other", 1, lambda y: answers(y, 3), **change)
    frame = pooled.accuracies([one, two], EXPERIMENTS)
    assert sorted(frame["mean"]) == pytest.approx([0.5, 2 / 3], abs=0.01)
    assert list(frame["seeds"]) == [1, 1]


def test_other_data_is_never_pooled(tmp_path):
    one = network(tmp_path, 0, lambda y: answers(y, 2))
    two = one | {"seed": 1, "data": one["data"] | {"sha256": "0"}}
    assert len(pooled.groups([one, two], EXPERIMENTS)) == 2


def test_collapsed_networks_are_named_with_their_counts(tmp_path):
    found = [network(tmp_path, seed, lambda y: always(y, 4)) for seed in range(3)]
    row = only(pooled.accuracies(found, EXPERIMENTS))
    assert row["remarks"] == ["3 of 3 collapsed to sad (predicted for 350 of 350 rows)"]
    assert row["low"] == row["mean"] == pytest.approx(1 / 7)
    assert "predicted, seed 2 (collapsed to sad) | 0 | 0 | 0 | 0 | 350 | 0 | 0 |" in tables.predicted(found)
    assert "| true | 50 | 50 |" in tables.predicted(found)


def test_the_mean_is_of_the_seeds_that_learned(tmp_path):
    found = [network(tmp_path, seed, lambda y, k=k: answers(y, k)) for seed, k in enumerate((2, 5))]
    found.append(network(tmp_path, 2, lambda y: always(y, 4)))
    row, alone = only(pooled.accuracies(found, EXPERIMENTS)), only(pooled.accuracies(found[:2], EXPERIMENTS))
    assert [row[name] for name in ("mean", "low", "high")] == [alone[name] for name in ("mean", "low", "high")]
    assert (row["seeds"], len(row["accuracies"])) == (3, 3)
    assert row["remarks"][:2] == [
        "1 of 3 collapsed to sad (predicted for 350 of 350 rows)",
        "the mean is of the 2 that learned",
    ]
    honest = [only(pooled.honest(some, EXPERIMENTS))["PrivateTest"] for some in (found, found[:2])]
    assert honest[0]["mean"] == honest[1]["mean"] and np.isfinite(honest[0]["low"])


def test_no_t_interval_over_seeds_that_collapsed_to_different_answers(tmp_path):
    found = [
        network(tmp_path, seed, lambda y, answer=answer: always(y, answer)) for seed, answer in enumerate((3, 0, 3))
    ]
    row = only(pooled.accuracies(found, EXPERIMENTS))
    assert np.isnan(row["low"])
    assert row["remarks"][0].startswith("3 of 3 collapsed to happy (2x), angry (1x)")


def test_one_seed_has_no_interval_and_says_so(tmp_path):
    found = [network(tmp_path, 0, lambda y: answers(y, 2))]
    row = only(pooled.accuracies(found, EXPERIMENTS))
    assert np.isnan(row["low"]) and row["remarks"] == ["one seed: no interval over seeds"]
    assert "| 50.00 | [" in tables.results(found, EXPERIMENTS)


def test_stale_records_are_flagged(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "stale", lambda record: ["changed since: fer_lib/training/loop.py"])
    found = [network(tmp_path, seed, lambda y: answers(y, 2)) for seed in range(2)]
    assert "stale: changed since: fer_lib/training/loop.py" in sections.markdown(found, EXPERIMENTS)


def test_missing_rows_are_named_with_the_command_that_runs_them(tmp_path):
    text = tables.results([network(tmp_path, 0, lambda y: answers(y, 2))], EXPERIMENTS)
    assert "### Saravanan et al. 2019, Table V" in text
    line = next(line for line in text.splitlines() if "60.58" in line)
    assert "`make reproduce PROFILE=full ONLY=saravanan2019/table5_adam_128`" in line and "10 h on a CPU" in line
    assert "table1_feedforward" not in text


def test_records_without_an_experiment_are_shown_all_the_same(tmp_path):
    found = [network(tmp_path, 0, lambda y: answers(y, 2), name="gone")]
    assert "no experiment file has this name any more" in tables.results(found, EXPERIMENTS)


def test_honest_reading_takes_the_best_epoch_on_private_rows(tmp_path):
    found = [network(tmp_path, 0, lambda y: answers(y, 2), best=lambda y: answers(y, 5))]
    row = only(pooled.honest(found, EXPERIMENTS))
    assert row["epochs"] == [2]
    assert row["PrivateTest"]["n"] == 210 and row["PrivateTest"]["mean"] == pytest.approx(168 / 210)
    assert row["PublicTest"]["mean"] == pytest.approx(112 / 140)
    assert "PrivateTest: 210 rows; PrivateTest clean: 210 rows" in tables.honest_results(found, EXPERIMENTS)


def test_a_diagnostic_is_kept_out_of_the_honest_reading(tmp_path):
    found = [network(tmp_path, 0, lambda y: answers(y, 2), best=lambda y: answers(y, 5))]
    name = found[0]["experiment"]
    for diagnostic in (False, True):
        known = {name: EXPERIMENTS[name] | {"diagnostic": diagnostic}}
        assert len(pooled.honest(found, known)) == 1 - diagnostic
        assert len(pooled.accuracies(found, known)) == 1


def test_honest_reading_marks_stopping_on_private_rows(tmp_path):
    found = [network(tmp_path, 0, lambda y: answers(y, 2), parameters={"patience": 4})]
    assert "Feed-forward network †" in tables.honest_results(found, EXPERIMENTS)


def test_trees_are_read_on_the_rows_they_have(tmp_path):
    fixed, random = tree(tmp_path, 0), tree(tmp_path, 0, held_out=True, name="random")
    assert pooled.reading(fixed) == ("last", "PublicTest+PrivateTest")
    assert pooled.reading(random) == ("last", "held out")
    assert pooled.confusion([fixed]).sum() == 350 and pooled.confusion([random]).sum() == 84
    honest = only(pooled.honest([fixed, random], {}))
    assert honest["experiment"] == "saravanan2019/table1_decision_tree" and honest["epochs"] == [None]


def test_a_milestone_is_read_off_the_longer_run(tmp_path):
    long = "saravanan2019/long"
    first = {"title": "First epochs", "where": "Table I, row 4", "reported": {"accuracy": 60.0}, "milestone_of": long}
    experiments = {"saravanan2019/first": first, long: {"title": "Long"}}
    found = [
        network(tmp_path, seed, lambda y: answers(y, 2), milestone=lambda y: answers(y, 5), name="long")
        for seed in (0, 1)
    ]
    found.append(network(tmp_path, 2, lambda y: answers(y, 2), name="long"))  # ended before the milestone
    rows = pooled.accuracies(found, experiments).set_index("experiment")
    first = rows.loc["saravanan2019/first"]
    assert first["accuracies"] == pytest.approx([280 / 350] * 2)
    assert first["epochs"] == [3, 3]
    assert "read off the runs of saravanan2019/long" in first["remarks"]
    assert rows.loc["saravanan2019/long"]["accuracies"] == pytest.approx([0.5] * 3)
    group = pooled.groups(found, experiments)[0]
    assert pooled.confusion(group).trace() == 2 * 280
    assert len(group[0]["history"]) == 3
    assert "First epochs" in tables.results(found, experiments)
    assert "which are missing or ended sooner" in tables.results([], experiments)


def test_records_made_before_a_parameter_came_up_are_pooled_with_later_ones(tmp_path):
    old = network(tmp_path, 0, lambda y: answers(y, 2))
    new = network(tmp_path, 1, lambda y: answers(y, 3), parameters={"augmentation": "none"})
    other = network(tmp_path, 2, lambda y: answers(y, 3), parameters={"augmentation": "flip"})
    name = "saravanan2019/table1_feedforward"
    known = EXPERIMENTS | {name: EXPERIMENTS[name] | {"defaults": {"augmentation": "none"}}}
    assert sorted(len(group) for group in pooled.groups([old, new, other], known)) == [1, 2]


def test_confusion_counts_the_headline_rows_of_all_seeds(tmp_path):
    found = [
        network(tmp_path, seed, lambda y: always(y, 3), parameters={"evaluation_rows": "PrivateTest"})
        for seed in range(2)
    ]
    counts = pooled.confusion(found)
    assert counts[:, 3].tolist() == [60] * 7 and counts.sum() == 420


def test_markdown_tells_where_the_numbers_come_from(tmp_path):
    text = sections.markdown([network(tmp_path, 0, lambda y: answers(y, 2))], EXPERIMENTS, ["a seed 1: cell 3: Boom"])
    assert "MD5 `f8428a1e`" in text and "Abacus 9000" in text and "seeds 0" in text and "report.html" in text
    assert "## Runs that failed\n\n- a seed 1: cell 3: Boom" in text
    assert "Drawn faces" not in text and "⚠" not in text


def test_drawn_faces_are_announced_at_the_top(tmp_path):
    text = sections.markdown([network(tmp_path, 0, lambda y: answers(y, 2), data="drawn_faces")], EXPERIMENTS)
    assert text.index("⚠ **Drawn faces.**") < text.index("Table I") < text.index("<details>") < text.index("**Data**")


def test_cut_down_runs_on_real_data_are_announced_too(tmp_path):
    found = [network(tmp_path, 0, lambda y: answers(y, 2), profile="quick")]
    text = sections.warning(found) + sections.facts(found)
    assert text.startswith("> ⚠ **Profile quick.**") and "Abacus 9000" in text


def test_a_report_of_nothing_says_so_and_lists_what_is_missing():
    text = sections.markdown([], EXPERIMENTS)
    assert "No runs yet" in text and text.count("not run yet") == 2 and "No run has this reading yet" in text


def test_a_row_that_waits_for_weights_says_how_to_fill_it():
    name = "vorontsov2018/table1_vgg16"
    experiment = {
        "title": "VGG16",
        "where": "Table 1, row 3",
        "reported": {"accuracy": 68.2},
        "expect": {"hours_gpu": 1},
    }
    text = tables.results([], {name: experiment | {"parameters": {"weights": "pretrained", "model": "vgg16"}}})
    assert "### Vorontsov & Averkin 2018, Table 1" in text and "68.20" in text
    how = "`make weights ONLY=vgg16`, then `make reproduce PROFILE=full ONLY=vorontsov2018/table1_vgg16` (a seed about "
    assert f"waits for pretrained weights: {how}1 h on a GPU)" in text


def test_folder_is_the_one_that_has_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(sections.paths, "RESULTS", tmp_path)
    assert sections.folder("", "smoke") == tmp_path / "local" / "smoke"
    network(tmp_path, 0, lambda y: answers(y, 2))
    assert sections.folder("", "smoke") == tmp_path
    network(tmp_path / "local" / "smoke", 0, lambda y: answers(y, 2))
    assert sections.folder("", "smoke") == tmp_path / "local" / "smoke"
    assert sections.folder("elsewhere", "smoke").name == "elsewhere"


def test_table_escapes_and_aligns():
    text = markdown.table([{"a": "x|y", "b": "1.0 [0.5, 2]"}, {"a": "z", "b": "–"}])
    assert text == "| a | b |\n| :--- | ---: |\n| x\\|y | 1.0 [0.5, 2] |\n| z | – |\n"
    assert markdown.table([]) == ""


def test_a_padded_table_stands_straight():
    text = markdown.table([{"Name": "x", "n": "1,000"}, {"Name": "longer", "n": "-2"}], padded=True)
    assert text == "| Name   |     n |\n| :----- | ----: |\n| x      | 1,000 |\n| longer |    -2 |\n"


def test_precision_recall_and_f1_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    true, answered = random.integers(0, 7, (2, 500))
    expected = precision_recall_fscore_support(true, answered)[:3]
    assert pooled.per_class(confusion_matrix(true, answered)) == pytest.approx(np.array(expected))


def test_precision_of_what_is_never_answered_is_unknown(tmp_path):
    found = [network(tmp_path, seed, lambda y: always(y, 4)) for seed in range(2)]
    precision, recall, f1 = pooled.per_class(pooled.confusion(found))
    assert np.isnan(precision[0]) and precision[4] == pytest.approx(1 / 7)
    assert recall.tolist() == [0, 0, 0, 0, 1, 0, 0] and f1[4] == pytest.approx(2 / 8)
    text = tables.predicted(found)
    assert "| precision, %, seeds added up | – | – | – | – | 14.3 | – | – |" in text
    assert "| recall, %, seeds added up | 0.0 | 0.0 | 0.0 | 0.0 | 100.0 | 0.0 | 0.0 |" in text


def test_reliability_equals_a_hand_calculation(tmp_path):
    sure = np.exp(4) / (np.exp(4) + 6)  # what made_up_records.answers gives its answer
    found = [network(tmp_path, seed, lambda y, k=k: answers(y, k)) for seed, k in enumerate((2, 5))]
    curve = pooled.reliability(found)
    assert curve["counts"].tolist() == [700]
    assert curve["accuracy"] == pytest.approx([(175 + 280) / 700])
    assert curve["confidence"] == pytest.approx([sure], abs=1e-3)
    assert curve["errors"] == pytest.approx([sure - 0.5, sure - 0.8], abs=1e-3)


LAYERS = {"feedforward": [{"multiply_adds": 1000}, {"multiply_adds": 0}, {"multiply_adds": 10}]}
LARGE = {"feedforward": [{key: 10**9 * value for key, value in layer.items()} for layer in LAYERS["feedforward"]]}


def costs(found, experiments, layers) -> list[dict[str, str]]:
    """The table of costs, a dict for each of its lines."""
    heads, _, *lines = (line.strip("| ").split(" | ") for line in tables.costs(found, experiments, layers).splitlines())
    return [dict(zip(heads, cells, strict=True)) for cells in lines]


def test_costs_are_added_up_over_seeds_epochs_and_rows(tmp_path):
    found = [network(tmp_path, seed, lambda y: answers(y, 2), epochs=3 + seed) for seed in range(2)]
    found = [record | {"seconds": 3600 * record["seconds"]} for record in [*found, tree(tmp_path, 0)]]
    an_image = 2 * (2 * 1000 + 3 * 10)
    assert sum(tables.training_flop(r, LAYERS) for r in found[:2]) == an_image * 70 * 7  # 70 Training rows; 3, 4 epochs
    text = tables.costs(found, EXPERIMENTS, LARGE)
    assert f"{10**9 * an_image * 70 * 7 / 1e15:.3f}" == "1.989"
    assert "| Feed-forward network | TensorFlow, float32, CPU | Abacus 9000 | 2 | 7 | 180.00 | 1.989 |" in text
    assert "| All | – | – | 3 | 7 | 210.00 | 1.989 | – |" in text
    of_tree = next(line for line in costs(found, EXPERIMENTS, LARGE) if line["Epochs"] == "–")
    assert (of_tree["PFLOP"], of_tree["Runs"]) == ("–", "1")
    assert tables.costs([], EXPERIMENTS, LAYERS) == "No run, no cost.\n"


@pytest.mark.parametrize(
    "parameters, rows",
    [({"rows": 50}, 50), ({"train_rows": "Training+PublicTest"}, 210), ({"train_rows": "Training without twins"}, 70)],
)
def test_rows_that_a_run_trains_on_are_those_that_it_says(tmp_path, parameters, rows):
    record = network(tmp_path, 0, lambda y: answers(y, 2), parameters=parameters)
    assert tables.training_flop(record, LAYERS) == 2 * (2 * 1000 + 3 * 10) * rows * 4
    assert tables.training_flop(record, {}) is None


def test_a_survey_stands_in_no_table_of_accuracies_but_in_a_section_of_its_own(tmp_path, capsys):
    found = [network(tmp_path, 0, lambda y: answers(y, 2)), survey(tmp_path)]
    assert [len(group) for group in pooled.groups(found, EXPERIMENTS)] == [1]
    assert [line["Model"] for line in costs(found, EXPERIMENTS, {})][-2:] == ["Faces in use", "All"]
    show.show_live(found, tmp_path)
    shown = capsys.readouterr().out
    assert shown.count("<IPython.core.display") >= 3 and "Not run yet" not in shown
    show.show_live(found[:1], tmp_path)


def test_a_sweep_stands_in_no_table_of_accuracies(tmp_path):
    found = [network(tmp_path, 0, lambda y: answers(y, 2)), sweep(tmp_path, [("clipped", "0..255", True)])]
    assert [len(group) for group in pooled.groups(found, EXPERIMENTS)] == [1]
    assert [line["PFLOP"] for line in costs(found, EXPERIMENTS, LARGE)] == ["1.137", "–", "1.137"]  # its hours count
    known = EXPERIMENTS | {"ours/steps": {"title": "First steps", "notebook": "4_first_steps"}}
    assert "First steps" not in tables.results(found, known)


def test_a_page_links_to_the_notebooks_of_its_runs(tmp_path):
    found = [network(tmp_path, seed, lambda y: answers(y, 2)) for seed in range(2)]
    place = "runs/saravanan2019/table1_feedforward/tensorflow-seed"
    assert sections.notebooks_of(found, tmp_path) == f"**Executed notebook**: [seed 0]({place}0/run.ipynb)."
    assert "kept of seed 0 only" in sections.notebooks_of(found[1:], tmp_path)


def test_the_best_model_is_the_papers_or_says_that_it_is_not(tmp_path):
    found = [network(tmp_path, 0, lambda y: answers(y, 2))]
    group, sentence = show.best(found, EXPERIMENTS, "saravanan2019")
    assert group[0]["seed"] == 0 and sentence.startswith("The paper's best model, Proposed CNN, Adam, has no run yet.")
    found.append(network(tmp_path, 0, lambda y: answers(y, 2), name="table5_adam_128"))
    group, sentence = show.best(found, EXPERIMENTS, "saravanan2019")
    assert group[0]["experiment"] == "saravanan2019/table5_adam_128"
    assert sentence == "The paper's best model: Proposed CNN, Adam (TensorFlow, float32, CPU; one seed)."
    assert show.best(found, EXPERIMENTS, "vorontsov2018")[0] == []


def test_causes_are_listed_with_what_is_not_explained_yet():
    line = {"id": "saravanan2019/x", "claim": "It is so.", "where": "Table I", "verdict": "not reproduced"}
    line |= {"why": None, "note": "It may be."}
    assert "none to explain" in sections.causes([line | {"verdict": "reproduced"}])
    text = sections.causes([line, line | {"claim": "It was so.", "why": "It was late."}])
    assert text.startswith("2 claims were not reproduced; the cause is known of 1 of them:")
    assert "- It was so (Saravanan et al. 2019, Table I): It was late." in text
    assert text.index("Not explained so far") < text.index("- It is so (Saravanan et al. 2019, Table I): It may be.")
    assert "[causes.html](causes.html)" in text


def test_scope_counts_experiments_runs_and_claims(tmp_path):
    found = [network(tmp_path, seed, lambda y: answers(y, 2)) for seed in range(2)]
    judged = [{"id": "saravanan2019/a", "verdict": v} for v in ("reproduced", "inconclusive")]
    text = tables.scope(found, EXPERIMENTS, judged)
    assert "| Saravanan et al. 2019 | 2 | 1 | 2 | 1 | 2 |" in text


def test_protocols_stand_side_by_side():
    assert "| `kept_epoch` | last | best |" in sections.protocols()
