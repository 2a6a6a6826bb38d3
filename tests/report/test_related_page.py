"""The page of the systems that both papers quote: their figures beside ours, computed from records."""

import json
import re

import made_up_records
import pytest

from fer_lib import paths, runs
from fer_lib.evaluation import records
from fer_lib.report import parts, related


def test_every_experiment_of_related_work_has_its_row_and_its_command():
    known = runs.experiments()
    assert set(related.OF) == {name for name in known if name.startswith("related/")}
    text = related.systems([], known)
    assert text.startswith("Not run yet:") and text.count("\n") == 4 + len(related.OF)
    for name in related.OF:
        assert f"ONLY={name}`" in text
    assert "CKPLUS=PATH ONLY=related/li2018_ckplus" in text
    assert "`data/weights/deepid.npz`, then `make reproduce" in text


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Two seeds of Tang's network, right on 6 of 7 and 5 of 6 rows, and of the paper's, right on 2 of 3."""
    assembled = records.assemble

    def put(name: str, seed: int, wrong_every: int, **more):
        monkeypatch.setattr(records, "assemble", lambda **given: assembled(**given | {"experiment": name}))
        answers = lambda labels: made_up_records.answers(labels, wrong_every)  # noqa: E731
        folder = name.replace("/", "_")
        return made_up_records.network(tmp_path, seed, answers, name=folder, **more)

    tang = [
        put(related.TANG, seed, 7 - seed, views=lambda labels: made_up_records.answers(labels, 10)) for seed in (0, 1)
    ]
    return tang, [put(related.PAPER, seed, 3) for seed in (0, 1)]


def row(text: str, title: str) -> list[str]:
    return next([cell.strip() for cell in line.split("|")] for line in text.splitlines() if title in line)


def test_a_run_stands_beside_the_figure_with_its_interval_views_and_vote(study):
    tang, _ = study
    known = runs.experiments()
    title = known[related.TANG]["title"]
    alone = row(related.systems(tang[:1], known), title)
    assert alone[2] == "71.2"
    private = tang[0]["metrics"]["last"]["PrivateTest"]["accuracy"]
    assert alone[4].startswith(f"{100 * private:.2f} [")
    assert alone[5].startswith(f"{100 * tang[0]['metrics']['views']['PrivateTest']['accuracy']:.2f} [")
    assert alone[6] == "–"
    assert alone[8] == "20 epochs, 1 seed, TensorFlow, float32, CPU"
    both = row(related.systems(tang, known), title)
    mean = sum(record["metrics"]["last"]["PrivateTest"]["accuracy"] for record in tang) / 2
    assert both[4].startswith(f"{100 * mean:.2f} [")
    assert both[6].startswith(f"{100 * tang[0]['metrics']['views']['PrivateTest']['accuracy']:.2f} [")
    assert "2 seeds" in both[8]


def test_what_came_out_is_told_in_two_sentences(study):
    tang, paper = study
    known = runs.experiments()
    high, low = (100 * group[0]["metrics"]["last"]["PrivateTest"]["accuracy"] for group in (tang, paper))
    assert low < 71.1 < 71.2 < high
    first = related.systems(tang[:1], known).splitlines()[0]
    assert f"one network of each reaches {high:.1f} % of PrivateTest." in first
    assert first.endswith("Of those with one figure to be held against, 0 of 1 stay below it.")
    li = paper[0] | {"experiment": "related/li2018_fer2013"}
    first = related.systems([li], known).splitlines()[0]
    assert first.endswith(f"all 1 stay below it, by {71.1 - low:.1f} points.")
    first = related.systems([*tang[:1], li], known).splitlines()[0]
    assert f"reaches {low:.1f} to {high:.1f} %" in first
    assert "1 of 2 stay below it" in first
    elsewhere = [record | {"parameters": record["parameters"] | {"data": "ckplus"}} for record in tang]
    assert related.systems(elsewhere, known).startswith("| System |")


def test_the_state_of_the_art_is_told_with_the_judged_verdict(study):
    tang, paper = study
    known = runs.experiments()
    line = {
        "id": related.CLAIM, "verdict": "inconclusive", "measured": 4.07, "unit": "points", "interval": None,
        "seeds": 1,
        "because": "1 seed, 3 are needed", "decides": "runs of at least 3 seeds",
    }  # fmt: skip
    text = related.near_the_state_of_the_art([line], tang + paper, known)
    assert text.startswith(
        "**Inconclusive**, +4.07 points: 1 seed, 3 are needed. Runs of at least 3 seeds would decide"
    )
    accuracy = 100 * sum(record["metrics"]["last"]["PrivateTest"]["accuracy"] for record in tang) / 2
    assert f"Tang's network {accuracy:.2f} [" in text
    assert "the best network of Saravanan et al. " in text
    decided = related.near_the_state_of_the_art([line | {"verdict": "not reproduced", "decides": None}], tang, known)
    assert decided.startswith("**Not reproduced**")
    assert "would decide" not in decided
    assert "Neither has a run yet." in related.near_the_state_of_the_art([], [], known)


def test_folds_count_people_and_have_no_vote(study):
    """Neighbouring frames of one person are no independent rows, and no row is left to learn weights on."""
    tang, _ = study
    folded = [
        record | {"experiment": "related/li2018_ckplus", "parameters": record["parameters"] | {"folds": 10}}
        for record in tang
    ]
    for record in folded:
        record["data"] = record["data"] | {"source": record["data"]["source"] | {"persons": 10}}
    known = runs.experiments()
    cells = row(related.systems(folded, known), known["related/li2018_ckplus"]["title"])
    low, high = (float(end) for end in re.search(r"\[([\d.]+),\s([\d.]+)\]", cells[4]).groups())
    assert high - low > 30  # of ten people
    assert cells[6] == cells[7] == "–"


def test_a_seed_that_collapsed_is_counted_and_left_out_of_the_mean(study, tmp_path):
    tang, _ = study
    flat = made_up_records.network(tmp_path / "flat", 2, lambda labels: made_up_records.always(labels, 3), name="flat")
    known = runs.experiments()
    title = known[related.TANG]["title"]
    cells = row(related.systems([tang[0], flat | {"experiment": related.TANG}], known), title)
    assert cells[4] == row(related.systems(tang[:1], known), title)[4]
    assert "2 seeds, of which 1 collapsed" in cells[8]


def test_of_several_groups_the_largest_is_shown(study):
    tang, _ = study
    other = tang[0] | {"backend": "jax"}
    text = related.systems([*tang, other], runs.experiments())
    assert "2 seeds, TensorFlow" in text
    assert "JAX" not in text


def test_the_committed_page_is_what_the_records_say():
    all_records, known = records.load(paths.RESULTS), runs.experiments()
    judged = json.loads((paths.RESULTS / "claims.json").read_text())["claims"]
    page = parts.RELATED.read_text(encoding="utf-8")
    assert page == parts.with_part(parts.RELATED, "make report", related.systems(all_records, known))
    near = related.near_the_state_of_the_art(judged, all_records, known)
    assert page == parts.with_part(parts.RELATED, "make report, near", near), "`make report` writes it anew"
