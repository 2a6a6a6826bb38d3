import numpy as np
import pytest
from made_up_records import answers, network

from fer_lib import paths, runs
from fer_lib.evaluation import pooled, records, statistics
from fer_lib.markdown import interval
from fer_lib.report import climb, figures

LAYERS = {"feedforward": [{"multiply_adds": 1_000_000, "parameters": 7}, {"multiply_adds": 500_000, "parameters": 7}]}
EXPERIMENTS = {
    "ours/rung_01": {"title": "Climb, in small: start"},
    "ours/rung_02": {
        "title": "Climb, in small: good",
        "compared_with": "ours/rung_01",
        "deviations": ["Like ours/rung_01. A change for the good.", "Another."],
    },
    "ours/rung_03": {"title": "Climb, in small: bad", "compared_with": "ours/rung_02"},
    "ours/rung_04": {"title": "Climb, in small: later", "compared_with": "ours/rung_02"},
}


def rung(folder, number: int, wrong_every: int, seed: int = 0, **changes):
    parameters = {"evaluation_rows": "PublicTest", "kept_epoch": "last"} | changes.pop("parameters", {})
    return network(folder, seed, lambda y: answers(y, wrong_every), experiment=f"ours/rung_0{number}",
                   parameters=parameters, **changes)  # fmt: skip


def epochs(*seconds: float) -> list[dict]:
    """A history whose epochs took so long, nine tenths of it for training."""
    scores = {"accuracy": 0.5, "loss": 1.0, "PublicTest_accuracy": 0.5, "PrivateTest_accuracy": 0.5}
    times = [{"epoch": k, "seconds": s, "training_seconds": 0.9 * s} for k, s in enumerate(seconds, 1)]
    return [time | scores for time in times]


@pytest.fixture
def three(tmp_path):
    of = {1: 2, 2: 5, 3: 4}
    return [rung(tmp_path, number, wrong, seed) for number, wrong in of.items() for seed in (0, 1)]


def cells(shown: str, column: str) -> list[str]:
    """A column of a Markdown table."""
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown.splitlines()]
    return [row[head.index(column)] for row in rows]


def test_a_rung_is_better_worse_or_undecided_by_its_interval(three, tmp_path):
    three += [rung(tmp_path, 4, 2, seed) for seed in (0, 1)]
    lines = climb.rungs(three, EXPERIMENTS, climb.SMALL, LAYERS)
    assert [line["number"] for line in lines] == ["S1", "S2", "S3", "S4"]
    assert [line["outcome"] for line in lines] == ["start", "better", "undecided", "worse"]
    assert lines[1]["mean"] == pytest.approx(112 / 140) and lines[1]["each"] == pytest.approx([0.8, 0.8])
    gain = lines[1]["gain"]
    assert gain["difference"] == pytest.approx(0.3) and gain["each"] == pytest.approx([0.3, 0.3])
    assert gain["low"] < 0.3 < gain["high"] and gain["low"] > 0
    assert lines[2]["gain"]["difference"] == pytest.approx(-0.05)
    told, shown = climb.rungs_in_words(lines), climb.rung_table(lines)
    assert "4 of 4 rungs were run**, with 2 seeds each" in told
    assert "Each of the 3 intervals is at 95 % by itself" in told
    assert [cell[:8] for cell in cells(shown, "Gain, points [95 %]")] == ["–", "+30.00 [", "-5.00 [-", "-30.00 ["]
    assert cells(climb.detail_table(lines), "Gain of each seed")[1:3] == ["+30.00, +30.00", "-5.00, -5.00"]
    assert cells(shown, "Compared with") == ["–", "S1", "S2", "S2"]
    short = climb.in_short(lines, [], [], {}, [])
    assert "4 of 4 rungs were run." in short and "- **Better**: good (+30.00 [" in short
    assert "] over S1)." in short and "- **Worse**: later (-30.00 [" in short
    assert "- **Undecided**: bad (-5.0 over S2)." in short
    assert "those that follow one another stand at 50.00 % (start) and 80.00 % (good)." in short
    assert "**At full size**, no rung was run yet: it takes a GPU." in short


def test_the_rule_keeps_what_is_above_zero_and_judges_neither_what_leads_on_nor_finals(three, tmp_path):
    final = [rung(tmp_path, 4, 10, seed, parameters={"evaluation_rows": "PrivateTest"}) for seed in (0, 1)]
    lines = climb.rungs([*three, *final], EXPERIMENTS, climb.SMALL, LAYERS)
    assert [line["kept"] for line in lines] == [None, None, False, None]
    assert lines[3]["outcome"] == "better", "a final run is compared, too"
    alone = climb.rungs(three[:4], {name: EXPERIMENTS[name] for name in list(EXPERIMENTS)[:2]}, climb.SMALL, LAYERS)
    assert alone[1]["kept"] is True and "By the rule are kept: good." in climb.rungs_in_words(alone)
    assert cells(climb.rung_table(lines), "By the rule") == ["–", "–", "dropped", "–"]
    assert "By the rule are dropped: bad." in climb.rungs_in_words(lines)
    assert "What the rule kept" not in climb.so_what(lines), "it kept nothing"


def test_what_the_rule_kept_need_not_add_up_in_the_final_rung(three, tmp_path):
    better = [rung(tmp_path, 3, 8, seed) for seed in (0, 1)]  # wrong in 18 of 140, where rung 2 is in 28
    final = [rung(tmp_path, 4, 10, seed, parameters={"evaluation_rows": "PrivateTest"}) for seed in (0, 1)]  # in 14
    lines = climb.rungs([*three[:4], *better, *final], EXPERIMENTS, climb.SMALL, LAYERS)
    assert lines[2]["kept"] and lines[3]["kept"] is None
    told = climb.so_what(lines)
    assert "gained +7.1 points in sum when each was added alone, and +10.0 all together (S4), +2.86 [" in told
    assert "apart: these runs do not tell whether the gains add up. The best of it alone, bad (S3), stands at" in told
    assert f"{100 * 122 / 140:.2f} %, over which S4 has +2.86 [" in told and "add to it is not shown." in told


def test_the_sum_of_gains_has_the_noise_of_all_its_runs(tmp_path):
    """Two kept changes of one base: what they give together, less both gains, has the base's seeds twice."""
    known = EXPERIMENTS | {"ours/rung_05": {"title": "Climb, in small: all", "compared_with": "ours/rung_02"}}
    wrong = {1: (2, 2), 2: (4, 5), 3: (6, 7), 4: (8, 7), 5: (12, 11)}
    made = [rung(tmp_path, number, every, seed, parameters={"evaluation_rows": "PrivateTest"} if number == 5 else {})
            for number, of in wrong.items() for seed, every in enumerate(of)]  # fmt: skip
    lines = climb.rungs(made, known, climb.SMALL, LAYERS)
    assert [line["kept"] for line in lines] == [None, None, True, True, None]
    right = {number: np.stack([climb._right(run, "last") for run in made if f"rung_0{number}" in run["experiment"]])
             for number in wrong}  # fmt: skip
    apart = (right[5] + 1.0 * right[2] - right[3] - right[4]).mean(axis=0)
    _, low, high = statistics.t_interval(apart)
    deviation, freedom = statistics.pooled_deviation(line["each"] for line in lines)
    half = np.hypot((high - low) / 2, statistics.half_width(deviation * np.sqrt((1 + 1 + 1 + 1) / 2), freedom))
    shown = interval((apart.mean() - half, apart.mean() + half), "+")
    assert f"{100 * apart.mean():+.2f} {shown} apart" in climb.so_what(lines)


def test_how_firm_the_choices_are_other_trainings_and_views_tell(tmp_path):
    recipe = {"model": "vgg", "epochs": 7}
    known = {name: experiment | {"parameters": recipe | {"views": "flip", "ema": int(name[-1])}}
             for name, experiment in EXPERIMENTS.items()}  # fmt: skip
    recipe |= {"ema": 2}
    known["ours/speedrun_60"] = {"title": "Climb: 60 %", "parameters": recipe | {"evaluation_rows": "PrivateTest"}}
    known["ours/other"] = {"title": "Other", "parameters": recipe | {"epochs": 8}}
    viewed = {2: 6, 3: 9, 4: 5}  # wrong with views; once, of 140: rung 2 in 28, 3 in 20, 4 in 18
    made = [rung(tmp_path, number, every, seed, parameters={"views": "flip"},
                 views=lambda y, number=number: answers(y, viewed[number]))
            for number, every in {2: 5, 3: 7, 4: 8}.items() for seed in (0, 1)]  # fmt: skip
    lines = climb.rungs(made, known, climb.SMALL, LAYERS)
    assert [line["kept"] for line in lines] == [None, None, True, True]
    told = climb.how_firm(made, known, lines)
    assert "more run" not in told and "With flip, later would have been dropped (-2.9)." in told
    again = [network(tmp_path, 7, lambda y: answers(y, 10), experiment=name, title=name)
             for name in ("ours/speedrun_60", "ours/other")]  # fmt: skip
    told = climb.how_firm([*made, *again], known, lines)
    base = (2 * 112 + 126) / 3 / 140
    assert "The recipe of S2 has 1 more run (“60 %”): they have 90.00 % on PublicTest" in told
    assert f"against all 3, gains over S2 are {100 * (base - 0.8):.1f} points smaller: the rule would have kept" in told
    assert climb.how_firm(made, known, lines[:1]) == ""
    again = [network(tmp_path, 8, lambda y: answers(y, 70), experiment="ours/speedrun_60", title="x")]
    told = climb.how_firm([*made, *again, *[run | {"seed": 9} for run in again]], known, lines)
    base = (2 * 112 + 2 * 138) / 4 / 140
    assert f"bad would have been dropped ({100 * (120 / 140 - base):+.1f})" in told


def test_each_rung_says_what_it_changes(three):
    lines = climb.rungs(three, EXPERIMENTS, climb.SMALL, LAYERS)
    assert cells(climb.detail_table(lines), "What it changes")[1] == "A change for the good."
    assert lines[3]["outcome"] == "not run" and "not run" in climb.rung_table(lines)
    for prefix, letter in climb.LETTERS.items():
        for line in climb.rungs([], runs.experiments(), prefix, LAYERS):
            assert line["what"] and not line["what"].startswith("Like ")
            assert f"{prefix}{int(line['number'].removeprefix(letter)):02}_" in line["name"], "the page says so"


def test_the_wider_interval_holds_the_noise_of_seeds_which_is_taken_from_all_rungs(tmp_path):
    wrong = {(1, 0): 2, (1, 1): 3, (2, 0): 5, (2, 1): 5, (3, 0): 3, (3, 1): 4}
    found = [rung(tmp_path, number, every, seed) for (number, seed), every in wrong.items()]
    lines = climb.rungs(found, EXPERIMENTS, climb.SMALL, LAYERS)
    each = np.array([line["each"] for line in lines[:3]])
    deviation, freedom = statistics.pooled_deviation(each.tolist())
    assert freedom == 3 and deviation == pytest.approx(np.sqrt(each.var(axis=1, ddof=1).mean()))
    gain = lines[1]["gain"]
    rows, seeds = (gain["high"] - gain["low"]) / 2, 3.182 * deviation  # t of 3 degrees; sqrt(2 / 2 seeds) is 1
    low, high = gain["other_seeds"]
    assert (high - low) / 2 == pytest.approx(np.hypot(rows, seeds), rel=1e-3)
    assert low < 0 < gain["low"], "the rows alone would have called it sure"
    told = climb.rungs_in_words(lines)
    assert "**Undecided**: good (" in climb.in_short(lines, [], [], {}, [])
    its_own = interval(statistics.deviation_interval(deviation, freedom))
    assert f"standard deviation of {100 * deviation:.2f} points {its_own} (from all rungs, 3 degrees" in told
    shown = climb.rung_table(lines)
    assert interval((low, high), "+") in cells(shown, "Gain, points [95 %]")[1]
    alone = cells(climb.detail_table(lines), "Over test faces alone [95 %]")
    assert interval((gain["low"], gain["high"]), "+") == alone[1]


def test_rungs_that_follow_one_another_are_compared_with_the_first(three, tmp_path):
    known = EXPERIMENTS | {"ours/rung_03": EXPERIMENTS["ours/rung_03"] | {"compared_with": "ours/rung_02"},
                           "ours/rung_04": EXPERIMENTS["ours/rung_04"] | {"compared_with": "ours/rung_03"}}  # fmt: skip
    lines = climb.rungs(three, known, climb.SMALL, LAYERS)
    assert [line["leads_on"] for line in lines] == [True, True, True, False]
    start, good, bad = climb._chain(lines[:3])
    assert (start, good) == ("50.00 % (start)", "80.00 % (good)")
    assert bad.startswith("75.00 % (bad; +25.00 [") and bad.endswith("] over S1)")


def test_one_seed_says_nothing_of_other_seeds(tmp_path):
    lines = climb.rungs([rung(tmp_path, 1, 2), rung(tmp_path, 2, 5)], EXPERIMENTS, climb.SMALL, LAYERS)
    assert np.isnan(lines[1]["gain"]["other_seeds"]).all() and "standard deviation" not in climb.rungs_in_words(lines)
    shown, gain = climb.rung_table(lines), lines[1]["gain"]
    assert interval((gain["low"], gain["high"]), "+") in cells(shown, "Gain, points [95 %]")[1]
    figures.climb(lines[:2])


def test_only_seeds_that_both_have_are_compared(tmp_path):
    found = [rung(tmp_path, 1, 2, 0), rung(tmp_path, 2, 5, 0), rung(tmp_path, 2, 3, 1)]
    line = climb.rungs(found, EXPERIMENTS, climb.SMALL, LAYERS)[1]
    assert line["gain"]["seeds"] == [0] and line["gain"]["difference"] == pytest.approx(0.3)
    assert line["gain"]["ends"] == pytest.approx((0.5, 0.8)) and line["mean"] < 0.8
    assert climb.gain([found[0]], [found[2]]) is None


def test_runs_that_were_computed_in_another_way_are_not_compared_but_counted(tmp_path):
    found = [rung(tmp_path, 1, 2), rung(tmp_path, 2, 5, precision="bfloat16")]
    lines = climb.rungs(found, EXPERIMENTS, climb.SMALL, LAYERS)
    assert lines[1]["gain"] is None and lines[1]["outcome"] == "not compared"
    assert "Left out" not in climb.rungs_in_words(lines)
    more = [*found, *(rung(tmp_path, 2, 4, seed) for seed in (0, 1))]
    lines = climb.rungs(more, EXPERIMENTS, climb.SMALL, LAYERS)
    assert lines[1]["gain"]["difference"] == pytest.approx(0.25) and len(lines[1]["group"]) == 2
    assert "Left out: 1 run computed in another way" in climb.rungs_in_words(lines)


def test_what_follows_is_computed(three):
    lines = climb.rungs(three, EXPERIMENTS, climb.SMALL, LAYERS)
    told = climb.so_what(lines)
    half = np.diff(lines[2]["gain"]["other_seeds"])[0] / 2  # of what the rule decides
    assert "Of 2 changes in small, 1 are better, 0 worse, and 1 cannot be told" in told
    assert "With 2 seeds" in told and f"reaches {100 * half:.1f} points" in told
    assert f"about {100 * half * 2.8 / 1.96:.1f} points to be found" in told
    assert "No two rungs" in climb.so_what(lines[:1])


def test_views_are_a_gain_of_their_own(tmp_path):
    found = [rung(tmp_path, 1, 2, seed, views=lambda y: answers(y, 4)) for seed in (0, 1)]
    line = climb.rungs(found, EXPERIMENTS, climb.SMALL, LAYERS)[0]
    assert line["mean"] == pytest.approx(0.5) and line["views"]["difference"] == pytest.approx(0.25)


def test_after_training_come_the_views_and_the_vote_of_the_best_rung(tmp_path):
    right = {(1, 0): 3, (1, 1): 3, (2, 0): 4, (2, 1): 5}
    found = [rung(tmp_path, number, 2 + (number == 2), seed, views=lambda y, every=every: answers(y, every),
                  parameters={"views": "flip"}) for (number, seed), every in right.items()]  # fmt: skip
    lines = climb.rungs(found, EXPERIMENTS, climb.SMALL, LAYERS)
    views, vote = climb.after_training(lines)
    assert views["title"] == "S2 with flip" and views["before"] == "S2"
    assert views["each"] == pytest.approx([0.75, 0.8]) and views["mean"] == pytest.approx(0.775)
    alone = [np.stack([climb._right(record, "views") for record in group]) for group in (found[:2], found[2:])]
    assert vote["before"] == "the mean of its seeds" and vote["title"] == "S2 with flip, 2 seeds voting"
    assert (views["outcome"], vote["outcome"]) == ("undecided", "not judged") and vote["kept"] is views["kept"] is None
    assert vote["mean"] == pytest.approx(vote["each"][0]) and vote["gain"]["seeds"] == [0, 1]
    assert vote["gain"]["difference"] == pytest.approx(vote["mean"] - alone[1].mean())
    assert vote["gain"]["each"] == pytest.approx([vote["mean"] - 0.75, vote["mean"] - 0.8])
    low, high = views["gain"]["other_seeds"]
    assert low < views["gain"]["low"] and high > views["gain"]["high"]
    assert np.isnan(vote["gain"]["other_seeds"]).all(), "of one vote nothing says how far other seeds would move it"
    every = [*lines, views, vote]
    told = climb.rungs_in_words(every)
    short, adds = climb.in_short(lines, [], [], {}, []), [100 * line["views"]["difference"] for line in lines[:2]]
    assert f"flip add {min(adds):+.1f} to {max(adds):+.1f} points to a rung; for 2 of 2 the interval" in short
    assert (
        f"S2 with flip is the best by its views, with 77.50 % on PublicTest, and {100 * vote['mean']:.2f} % when"
        in short
    )
    assert "2 of 4 rungs were run**" in told and "S2 with flip (+" in climb.in_short(lines, [], [], {}, [])
    assert cells(climb.rung_table(every), "Compared with")[-2:] == ["S2", "the mean of its seeds"]
    assert climb.after_training(climb.rungs([rung(tmp_path, 3, 2)], EXPERIMENTS, climb.SMALL, LAYERS)) == []
    figures.climb(every)


def test_operations_are_counted_forward_and_back_and_the_first_layer_has_no_gradient_of_its_input():
    rows = {"Training": 100, "PublicTest": 10, "PrivateTest": 10}
    once = 2 * (3 * 1_500_000 - 1_000_000)
    assert climb.pflop({"model": "feedforward", "epochs": 3}, rows, LAYERS) == pytest.approx(300 * once / 1e15)
    assert climb.pflop({"model": "feedforward", "epochs": 3, "rows": 10}, rows, LAYERS) == pytest.approx(
        30 * once / 1e15
    )
    assert np.isnan(climb.pflop({"model": "nosuch", "epochs": 3}, rows, LAYERS))


def test_private_test_is_told_of_final_runs_alone(tmp_path, three):
    final = {"title": "Climb, in small: later", "compared_with": "ours/rung_02",
             "parameters": {"evaluation_rows": "PrivateTest"}}  # fmt: skip
    known = EXPERIMENTS | {"ours/rung_04": final}
    assert climb.finals(three, known) == []
    assert climb.finals_table([], known) == "Not run yet: S4 (later).\n"
    made = [rung(tmp_path, 4, 3 + seed, seed, views=lambda y: answers(y, 6), parameters={
        "evaluation_rows": "PrivateTest", "views": "flip"}) for seed in (0, 1)]  # fmt: skip
    found = climb.finals([*three, *made], known)
    assert [(line["views"], line["rows"]) for line in found] == [
        (views, rows) for views in ("one", "flip") for rows in ("PublicTest", "PrivateTest", "PrivateTest clean",
                                                                "PrivateTest near-clean")]  # fmt: skip
    once, views = (next(line for line in found if line["rows"] == "PrivateTest" and line["kept"] == kept)
                   for kept in ("last", "views"))  # fmt: skip
    assert (once["number"], once["title"], once["seeds"], once["n"]) == ("S4", "later", 2, 210)
    assert views["mean"] == pytest.approx(175 / 210) and once["low"] < once["mean"] < once["high"]
    # One of 3 wrong, then one of 4, against one of 5: of 210 rows 70, 53 and 42. Rung 2 has no views to compare with.
    assert once["gain"]["difference"] == pytest.approx(-(70 + 53 - 2 * 42) / 2 / 210) and views["gain"] is None
    over_rows, (low, high) = climb.gain(three[2:4], made, rows="PrivateTest"), once["gain"]["judged_by"]
    assert low < over_rows["low"] < over_rows["high"] < high, "other seeds make it wider"
    for line in found:
        each = [records.scores(record, line["kept"], line["rows"]) for record in made]
        assert line["mean"] == pytest.approx(np.mean([score["accuracy"] for score in each])), line["rows"]
        assert line["n"] == each[0]["n"]
    shown = climb.finals_table(found, known)
    assert "Not run" not in shown and cells(shown, "Over") == ["S2"] * 4 + ["–"] * 4
    short = climb.in_short([], [], found, climb.together([*three, *made], known), [])
    assert f"those declared final, is S4 (later) with flip: {100 * views['mean']:.2f} [" in short
    assert f"There it gains over S2 {100 * once['gain']['difference']:+.2f} [" in short and "with one view" in short
    assert "All 8 networks in small together, averaged, have" in short
    assert {"ours/rung_04"} == set(pooled.honest([*three, *made], known)["experiment"])


def test_final_scores_that_are_committed_are_those_of_the_records():
    all_records, experiments = records.load(paths.RESULTS), runs.experiments()
    found = climb.finals(all_records, experiments)
    group = climb.members(all_records, experiments, climb.SMALL)["ours/rung_13_final"]
    mine = [line for line in found if line["name"] == "ours/rung_13_final"]
    assert len(mine) == 8
    for line in mine:
        each = [records.scores(record, line["kept"], line["rows"])["accuracy"] for record in group]
        assert line["mean"] == pytest.approx(np.mean(each)), (line["kept"], line["rows"])


def test_votes_take_every_network_with_its_views_and_nothing_is_fitted_on_private_test(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    monkeypatch.setattr(records, "is_official", lambda record: False)
    weak, strong = rung(tmp_path, 1, 2), rung(tmp_path, 2, 4, views=lambda y: answers(y, 10))
    voted = climb.together([weak, strong], EXPERIMENTS)[climb.SMALL]["votes"]
    assert voted["weights"][1] > 0.9 and voted["n"] == 210
    assert voted["alone"] == pytest.approx([0.5, 0.9], abs=0.01)
    assert voted["single"]["PrivateTest"] == pytest.approx((0.5 + 189 / 210) / 2)
    assert voted["learned"]["PrivateTest"] == pytest.approx(189 / 210)
    assert set(voted["averaged"]) == {"PublicTest", "PrivateTest"} and len(voted["by_size"]) == 2
    assert "weights learned on PublicTest" in climb.vote_table(voted) and "| PrivateTest, %" in climb.vote_table(voted)
    assert "PrivateTest, %" not in climb.vote_table(voted, final=False)
    assert climb.votes([weak]) is None


def test_a_vote_says_what_it_was_without_the_final_runs(tmp_path, three, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    monkeypatch.setattr(records, "is_official", lambda record: False)
    known = {name: experiment | {"seeds": 2} for name, experiment in EXPERIMENTS.items()}
    made = [rung(tmp_path, 4, 6, seed, parameters={"evaluation_rows": "PrivateTest"}) for seed in (0, 1)]
    shown = []
    monkeypatch.setattr(climb, "display", lambda what: shown.append(getattr(what, "data", "")))
    climb.show_votes(climb.together([*three, *made], known))
    without = climb.votes(three)
    told = f"the other 6 reach {100 * without['averaged']['PrivateTest']:.2f} % on PrivateTest when averaged"
    assert "8 networks" in shown[0] and told in shown[0] and "before the last rung was declared" in shown[0]
    assert shown[-1] == "The climb at full size has 0 runs yet: a vote takes two."
    shown.clear()
    climb.show_votes(climb.together([*three, *made[:1]], known))
    assert "the other 6" not in shown[0] and "PrivateTest is scored when all 8 runs are made" in shown[0]


def test_the_clock_leaves_out_compilation_and_predictions(tmp_path):
    history = epochs(90.0, 10.0, 12.0, 11.0)
    record = network(tmp_path, 0, lambda y: answers(y, 4), experiment="ours/speedrun_65", history=history,
                     parameters={"evaluation_rows": "PrivateTest"}, title="Climb: 65 %")  # fmt: skip
    known = {"ours/speedrun_65": {"title": "Climb: 65 %"}, "ours/speedrun_73": {"title": "Climb: 73 %"}}
    assert climb.training_seconds(record) == pytest.approx(0.9 * (10 + 12 + 11 + 11))
    line = climb.speeds([record], known, LAYERS)[0]
    operations = climb.pflop(record["parameters"], record["data"]["rows"], LAYERS)
    assert line["TFLOP a second"] == f"{1e3 * operations / 39.6:.2f}"
    assert line["Minutes of training"] == "0.7" and line["With views, %"] == "–"
    assert line["PrivateTest, % [95 %]"].startswith("74.76 [68.48") and line["Seconds an epoch"] == "9.0 to 10.8"
    assert line["of the whole run"] == f"{record['seconds'] / 60:.1f}"
    assert "2 threads, Abacus 9000" in line["Computed by"]
    shown = climb.speed_table([line])
    assert cells(shown.partition("\n\n")[0], "Run") == ["65 %"] and "No run" in climb.speed_table([])
    assert shown.endswith("65 %: TensorFlow, float32, CPU; 2 threads, Abacus 9000.\n") and "Computed by" not in shown
    assert climb.not_timed([line], known) == "Not run yet: 73 %.\n"
    assert climb.not_timed([line], {"ours/speedrun_65": known["ours/speedrun_65"]}) == ""
    assert "on PrivateTest: 74.76 [" in (told := climb.in_short([], [], [], {}, [line]))
    assert "% after 0.7 minutes of training (seeds that reach the goal: –)." in told


def test_against_the_clock_seeds_are_averaged_and_those_above_the_goal_counted(tmp_path):
    known = {"ours/speedrun_75": {"title": "Climb: 75 %", "expect": {"accuracy": 75}}}
    two = [network(tmp_path, seed, lambda y, every=every: answers(y, every), experiment="ours/speedrun_75",
                   history=epochs(9.0, *took), parameters={"evaluation_rows": "PrivateTest"})
           for seed, every, took in ((0, 4, (60.0, 60.0)), (1, 5, (80.0, 80.0)))]  # fmt: skip
    (line,) = climb.speeds(two, known, LAYERS)
    right = [157 / 210, 168 / 210]
    assert line["Each seed, %"] == ", ".join(f"{100 * share:.2f}" for share in right) and line["Seeds"] == 2
    mean, half = sum(right) / 2, statistics.half_width(abs(right[0] - right[1]) / np.sqrt(2) / np.sqrt(2), 1)
    low, high = statistics.wilson(mean * 210, 210)
    ends = mean - np.hypot(mean - low, half), min(1, mean + np.hypot(high - mean, half))
    assert line["PrivateTest, % [95 %]"] == f"{100 * mean:.2f} {interval(ends)}"
    assert line["Above the goal"] == "1 of 2 above 75 %" and line["Minutes of training"] == "2.7 to 3.6"
    assert "minutes of training (seeds that reach the goal: 1 of 2 above 75 %)." in climb.in_short(
        [], [], [], {}, [line]
    )


def test_the_plan_for_a_gpu_follows_its_measured_speed_and_the_value_of_the_runs(tmp_path):
    history = epochs(9.0, 0.5, 0.7)
    gpu = network(tmp_path, 0, lambda y: answers(y, 4), history=history, precision="tensorfloat32",
                  device={"kind": "gpu", "name": "H200"})  # fmt: skip
    plain = network(tmp_path, 1, lambda y: answers(y, 4), history=epochs(9.0, 0.4, 0.4, 0.4), precision="float32",
                    device={"kind": "gpu", "name": "H100"})  # fmt: skip
    speed = climb.speed_of_gpu([gpu, plain], LAYERS)
    epoch = 70 * 2 * (3 * 1_500_000 - 1_000_000)
    rate, least = speed["fastest"]
    assert rate == pytest.approx(epoch / 0.5) and least == 0.4 and speed["devices"] == ["H100", "H200"]
    assert speed["usual"] == (pytest.approx(epoch / 0.6), 0.4), "the precision of the other is not rated"
    assert climb.speed_of_gpu([plain], LAYERS) is None
    own = {"model": "feedforward", "epochs": 10, "precision": "bfloat16"}
    known = {
        "ours/record_1": {"title": "Climb: a", "seeds": 1, "value": 2, "defaults": {}, "parameters": own},
        "ours/record_2": {"title": "Climb: b", "seeds": 5, "value": 9, "defaults": {}, "parameters": own},
        "ours/rung_01": {"title": "Climb, in small: c"},
    }
    best, first = climb.plan_of_gpu(speed, known, LAYERS)
    assert (best["title"], first["title"]) == ("b", "a") and best["usual"] == pytest.approx(5 * first["usual"])
    whole = 28_709 / 70 * epoch * 10
    assert first["fastest"] == pytest.approx(whole / (2 * rate) + 10 * least)
    assert first["usual"] == pytest.approx(whole / (2 * speed["usual"][0]) + 10 * least)
    assert cells(climb.plan_table([best, first]), "Rung") == ["F2", "F1"]
    assert f"{first['fastest']:.0f} to {first['usual']:.0f}" in climb.plan_table([best, first])
    for seconds, said in (((1300, 1400), "both fit"), ((1400, 1600), "only the lower end fits"),
                          ((1600, 1700), "neither fits")):  # fmt: skip
        told = climb.plan_in_words([first | dict(zip(("fastest", "usual"), seconds))], speed)
        assert f"{said} into the 25" in told and "runs on H100 and H200" in told
    assert "not known" in climb.plan_in_words([], None)


def test_the_whole_climb_at_full_size_fits_half_an_hour_with_five_seeds_of_the_best():
    """Of the records that are committed: the estimate on the page, at its lower end."""
    all_records, experiments = records.load(paths.RESULTS), runs.experiments()
    networks = climb.load_networks(all_records, experiments)
    lines = climb.plan_of_gpu(climb.speed_of_gpu(all_records, networks), experiments, networks)
    assert lines[0]["seeds"] == 5 and lines[0]["name"] == "ours/record_10_final"
    assert 0 < sum(line["fastest"] for line in lines) <= climb.BUDGET


@pytest.mark.parametrize("prefix", [climb.SMALL, climb.FULL])
def test_each_rung_changes_one_thing_and_only_final_runs_see_private_test(prefix):
    experiments = runs.experiments()
    ours = {name: experiment for name, experiment in experiments.items() if name.startswith(prefix)}
    assert len(ours) >= 8
    for name, experiment in ours.items():
        rows = experiment["parameters"]["evaluation_rows"]
        assert (rows == "PrivateTest") == name.endswith("_final") and experiment["parameters"]["kept_epoch"] == "last"
        if before := experiment.get("compared_with"):
            assert before in ours and list(ours).index(before) < list(ours).index(name)


def changed_fields(name: str, experiments: dict) -> dict:
    """What an experiment's parameters change in those of the fourth rung; None: left out."""
    base, own = experiments["ours/rung_04_augmentation"]["parameters"], experiments[name]["parameters"]
    return {key: own.get(key) for key in base.keys() | own.keys() if base.get(key) != own.get(key)}


def test_later_rungs_differ_from_the_fourth_in_one_field():
    experiments = runs.experiments()
    together = [{"mixing", "mixing_alpha"}, {"optimizer", "learning_rate", "weight_decay", "momentum", "nesterov"}]
    for name, experiment in experiments.items():
        if experiment.get("compared_with") == "ours/rung_04_augmentation" and not name.endswith("_final"):
            changed = set(changed_fields(name, experiments))
            assert len(changed) == 1 or changed in together, name


def test_the_last_rung_takes_what_the_rule_kept():
    """Of the records that are committed. Width, S12, goes into nothing."""
    experiments = runs.experiments()
    lines = climb.rungs(records.load(paths.RESULTS), experiments, climb.SMALL, {})
    kept = [line for line in lines if line["kept"] and line["number"] != "S12"]
    assert [line["number"] for line in kept] == ["S5", "S8", "S11"]
    expected = {"evaluation_rows": "PrivateTest"}
    for line in kept:
        expected |= changed_fields(line["name"], experiments)
    assert changed_fields("ours/rung_13_final", experiments) == expected


def test_figures_of_the_climb_are_drawn_also_of_a_single_rung(three):
    lines = climb.rungs(three, EXPERIMENTS, climb.SMALL, LAYERS)
    for some in (lines, lines[:1]):
        for narrow in (False, True):
            assert figures.climb(some, narrow)._repr_png_(40).startswith(b"\x89PNG")
    sizes = [{"size": k, "mean": 0.6, "least": 0.5, "best": 0.7} for k in (1, 2)]
    assert figures.gain_by_size(sizes)._repr_png_(40).startswith(b"\x89PNG")


def test_what_a_rung_is_compared_with_has_to_be_there(tmp_path, monkeypatch):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "x.yaml").write_text(
        "{title: X, where: '', reported: {}, notebook: 3_train_network, parameters: {data: fer2013}, "
        "expect: {hours_cpu: 1, hours_gpu: 1}, compared_with: study/nosuch}"
    )
    monkeypatch.setattr(paths, "EXPERIMENTS", tmp_path)
    with pytest.raises(ValueError, match="study/x.yaml, compared_with: found 'study/nosuch', expected an experiment"):
        runs.experiments()
