"""The page of the systems that both papers quote: their figures beside ours, computed from records."""

import re

import made_up_records
import pytest

from fer_lib import runs
from fer_lib.evaluation import records
from fer_lib.report import parts, related


def test_every_experiment_of_related_work_has_its_row_and_its_command():
    known = runs.experiments()
    assert set(related.OF) == {name for name in known if name.startswith("related/")}
    text = related.systems([], known)
    assert text.count("\n") == 2 + len(related.OF)
    for name in related.OF:
        assert f"ONLY={name}`" in text
    assert "CKPLUS=PATH ONLY=related/li2018_ckplus" in text
    assert "`data/weights/deepid.npz`, then `make reproduce" in text
    assert "ONLY=related/tang2013" in related.near_the_state_of_the_art([], known)


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


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_state_of_the_art_is_a_paired_comparison_of_the_same_seeds(study, seeds):
    tang, paper = study
    text = related.near_the_state_of_the_art(tang[:seeds] + paper, runs.experiments())
    scores = [
        [record["metrics"]["last"]["PrivateTest"]["accuracy"] for record in group[:seeds]] for group in (tang, paper)
    ]
    difference = 100 * (sum(scores[0]) - sum(scores[1])) / seeds
    found = re.search(r"recognises ([+-][\d.]+) points \[([+-][\d.]+),\s([+-][\d.]+)\]", text)
    value, low, high = (float(number) for number in found.groups())
    assert value == pytest.approx(difference, abs=0.006)
    assert low < value < high
    assert text.startswith("**No.**") == (low > 1)
    assert ("one seed of each" in text) == (seeds == 1)


def test_the_committed_page_is_what_the_records_say():
    from fer_lib import paths

    all_records, known = records.load(paths.RESULTS), runs.experiments()
    page = parts.RELATED.read_text(encoding="utf-8")
    assert page == parts.with_part(parts.RELATED, "make report", related.systems(all_records, known))
    near = related.near_the_state_of_the_art(all_records, known)
    assert page == parts.with_part(parts.RELATED, "make report, near", near), "`make report` writes it anew"
