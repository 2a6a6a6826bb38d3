import re

import nbformat
import numpy as np
import pytest
from made_up_records import always, answers, network, tree

from fer_lib import provenance, report, result_tables, statistics, summaries, tables

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
    row = only(summaries.accuracies(found, EXPERIMENTS))
    expected = [175 / 350, 280 / 350, 300 / 350]
    assert row["accuracies"] == pytest.approx(expected)
    assert row["mean"] == pytest.approx(np.mean(expected))
    half = 4.302653 * np.std(expected, ddof=1) / np.sqrt(3)
    assert (row["low"], row["high"]) == pytest.approx((np.mean(expected) - half, np.mean(expected) + half))
    wilson = statistics.wilson(np.mean(expected) * 350, 350)  # one test set, however many seeds
    assert (row["wilson_low"], row["wilson_high"]) == pytest.approx(wilson)
    assert (row["seeds"], row["n"], row["epochs"], row["reported"]) == (3, 350, [4, 4, 4], 17.38)
    assert row["remarks"] == []
    line = next(line for line in result_tables.results(found, EXPERIMENTS).splitlines() if "Feed-forward" in line)
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
    frame = summaries.accuracies([one, two], EXPERIMENTS)
    assert sorted(frame["mean"]) == pytest.approx([0.5, 2 / 3], abs=0.01)
    assert list(frame["seeds"]) == [1, 1]


def test_other_data_is_never_pooled(tmp_path):
    one = network(tmp_path, 0, lambda y: answers(y, 2))
    two = one | {"seed": 1, "data": one["data"] | {"sha256": "0"}}
    assert len(summaries.groups([one, two], EXPERIMENTS)) == 2


def test_collapsed_networks_are_named_with_their_counts(tmp_path):
    found = [network(tmp_path, seed, lambda y: always(y, 4)) for seed in range(3)]
    row = only(summaries.accuracies(found, EXPERIMENTS))
    assert row["remarks"] == ["3 of 3 collapsed to sad (the answer to 350 of 350 rows)"]
    assert row["low"] == row["mean"] == pytest.approx(1 / 7)
    assert "predicted, seed 2 (collapsed to sad) | 0 | 0 | 0 | 0 | 350 | 0 | 0 |" in result_tables.predicted(found)
    assert "| true | 50 | 50 |" in result_tables.predicted(found)


def test_no_t_interval_over_collapsed_and_learning_seeds(tmp_path):
    found = [network(tmp_path, 0, lambda y: always(y, 4)), network(tmp_path, 1, lambda y: answers(y, 2))]
    row = only(summaries.accuracies(found, EXPERIMENTS))
    assert np.isnan(row["low"]) and "different behaviours" in row["remarks"][1]
    assert np.isnan(only(summaries.honest(found, EXPERIMENTS))["PrivateTest"]["low"])


def test_no_t_interval_over_seeds_that_collapsed_to_different_answers(tmp_path):
    found = [
        network(tmp_path, seed, lambda y, answer=answer: always(y, answer)) for seed, answer in enumerate((3, 0, 3))
    ]
    row = only(summaries.accuracies(found, EXPERIMENTS))
    assert np.isnan(row["low"])
    assert row["remarks"][0].startswith("3 of 3 collapsed to happy (2x), angry (1x)")


def test_one_seed_has_no_interval_and_says_so(tmp_path):
    found = [network(tmp_path, 0, lambda y: answers(y, 2))]
    row = only(summaries.accuracies(found, EXPERIMENTS))
    assert np.isnan(row["low"]) and row["remarks"] == ["one seed: no interval over seeds"]
    assert "| 50.00 | [" in result_tables.results(found, EXPERIMENTS)


def test_stale_records_are_flagged(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "stale", lambda record: ["changed since: fer_lib/training.py"])
    found = [network(tmp_path, seed, lambda y: answers(y, 2)) for seed in range(2)]
    assert "stale: changed since: fer_lib/training.py" in report.markdown(found, EXPERIMENTS)


def test_missing_rows_are_named_with_the_command_that_runs_them(tmp_path):
    text = result_tables.results([network(tmp_path, 0, lambda y: answers(y, 2))], EXPERIMENTS)
    assert "### Saravanan et al. 2019, Table V" in text
    line = next(line for line in text.splitlines() if "60.58" in line)
    assert "`make reproduce ONLY=saravanan2019/table5_adam_128`" in line and "10 h on a CPU" in line
    assert "table1_feedforward" not in text


def test_records_without_an_experiment_are_shown_all_the_same(tmp_path):
    found = [network(tmp_path, 0, lambda y: answers(y, 2), name="gone")]
    assert "no experiment file has this name any more" in result_tables.results(found, EXPERIMENTS)


def test_honest_reading_takes_the_best_epoch_on_private_rows(tmp_path):
    found = [network(tmp_path, 0, lambda y: answers(y, 2), best=lambda y: answers(y, 5))]
    row = only(summaries.honest(found, EXPERIMENTS))
    assert row["epochs"] == [2]
    assert row["PrivateTest"]["n"] == 210 and row["PrivateTest"]["mean"] == pytest.approx(168 / 210)
    assert row["PublicTest"]["mean"] == pytest.approx(112 / 140)
    assert "210\u00a0of\u00a0210" in result_tables.honest_results(found, EXPERIMENTS)


def test_honest_reading_marks_stopping_on_private_rows(tmp_path):
    found = [network(tmp_path, 0, lambda y: answers(y, 2), parameters={"patience": 4})]
    assert "Feed-forward network †" in result_tables.honest_results(found, EXPERIMENTS)


def test_trees_are_read_on_the_rows_they_have(tmp_path):
    fixed, random = tree(tmp_path, 0), tree(tmp_path, 0, held_out=True, name="random")
    assert summaries.reading(fixed) == ("last", "PublicTest+PrivateTest")
    assert summaries.reading(random) == ("last", "held out")
    assert summaries.confusion([fixed]).sum() == 350 and summaries.confusion([random]).sum() == 84
    honest = only(summaries.honest([fixed, random], {}))
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
    rows = summaries.accuracies(found, experiments).set_index("experiment")
    first = rows.loc["saravanan2019/first"]
    assert first["accuracies"] == pytest.approx([280 / 350] * 2)
    assert first["epochs"] == [3, 3]
    assert "read off the runs of saravanan2019/long" in first["remarks"]
    assert rows.loc["saravanan2019/long"]["accuracies"] == pytest.approx([0.5] * 3)
    group = summaries.groups(found, experiments)[0]
    assert summaries.confusion(group).trace() == 2 * 280
    assert len(group[0]["history"]) == 3
    assert "First epochs" in result_tables.results(found, experiments)
    assert "which are missing or ended sooner" in result_tables.results([], experiments)


def test_records_made_before_a_parameter_came_up_are_pooled_with_later_ones(tmp_path):
    old = network(tmp_path, 0, lambda y: answers(y, 2))
    new = network(tmp_path, 1, lambda y: answers(y, 3), parameters={"augmentation": "none"})
    other = network(tmp_path, 2, lambda y: answers(y, 3), parameters={"augmentation": "flip"})
    name = "saravanan2019/table1_feedforward"
    known = EXPERIMENTS | {name: EXPERIMENTS[name] | {"defaults": {"augmentation": "none"}}}
    assert sorted(len(group) for group in summaries.groups([old, new, other], known)) == [1, 2]


def test_confusion_counts_the_headline_rows_of_all_seeds(tmp_path):
    found = [
        network(tmp_path, seed, lambda y: always(y, 3), parameters={"evaluation_rows": "PrivateTest"})
        for seed in range(2)
    ]
    counts = summaries.confusion(found)
    assert counts[:, 3].tolist() == [60] * 7 and counts.sum() == 420


def test_markdown_tells_where_the_numbers_come_from(tmp_path):
    text = report.markdown([network(tmp_path, 0, lambda y: answers(y, 2))], EXPERIMENTS, ["a seed 1: cell 3: Boom"])
    assert "MD5 `f8428a1e`" in text and "Abacus 9000" in text and "seeds 0" in text and "report.html" in text
    assert "## Runs that failed\n\n- a seed 1: cell 3: Boom" in text
    assert "Drawn faces" not in text and "⚠" not in text


def test_drawn_faces_are_announced_at_the_top(tmp_path):
    text = report.markdown([network(tmp_path, 0, lambda y: answers(y, 2), data="drawn_faces")], EXPERIMENTS)
    assert text.index("⚠ **Drawn faces.**") < text.index("**Data**") < text.index("Table I")


def test_cut_down_runs_on_real_data_are_announced_too(tmp_path):
    text = report.banner([network(tmp_path, 0, lambda y: answers(y, 2), profile="quick")])
    assert text.startswith("> ⚠ **Profile quick.**")


def test_a_report_of_nothing_says_so_and_lists_what_is_missing():
    text = report.markdown([], EXPERIMENTS)
    assert "No runs yet" in text and text.count("not run yet") == 2 and "No run has this reading yet" in text


def test_folder_is_the_one_that_has_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(report.paths, "RESULTS", tmp_path)
    assert report.folder("", "smoke") == tmp_path / "local" / "smoke"
    network(tmp_path, 0, lambda y: answers(y, 2))
    assert report.folder("", "smoke") == tmp_path
    network(tmp_path / "local" / "smoke", 0, lambda y: answers(y, 2))
    assert report.folder("", "smoke") == tmp_path / "local" / "smoke"
    assert report.folder("elsewhere", "smoke").name == "elsewhere"


def test_table_escapes_and_aligns():
    text = tables.table([{"a": "x|y", "b": "1.0 [0.5, 2]"}, {"a": "z", "b": "–"}])
    assert text == "| a | b |\n| :--- | ---: |\n| x\\|y | 1.0 [0.5, 2] |\n| z | – |\n"
    assert tables.table([]) == ""


def test_a_padded_table_stands_straight():
    text = tables.table([{"Name": "x", "n": "1,000"}, {"Name": "longer", "n": "-2"}], padded=True)
    assert text == "| Name   |     n |\n| :----- | ----: |\n| x      | 1,000 |\n| longer |    -2 |\n"


def test_html_is_one_file_that_needs_no_network_and_shows_no_code(tmp_path):
    markdown = nbformat.v4.new_output("display_data", {"text/markdown": "### A part\n\n| a |\n|---|\n| 1 |"})
    code = nbformat.v4.new_code_cell("secret_code = 1", outputs=[markdown], execution_count=1)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# Title & more\n\n> ⚠ **Drawn.**\n\n## Start"), code]
    )
    nbformat.write(notebook, tmp_path / "page.ipynb")
    report.to_html(tmp_path / "page.ipynb", tmp_path / "deep" / "page.html")
    page = (tmp_path / "deep" / "page.html").read_text()
    assert "<title>Title &amp; more</title>" in page and "<td" in page and "secret_code" not in page
    assert '<blockquote class="warning">' in page
    assert '<a class="h2" href="#Start">Start</a>' in page and 'href="#A-part"' in page
    assert "<script" not in page and not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page)
    assert "@import" not in page and "url(" not in page
