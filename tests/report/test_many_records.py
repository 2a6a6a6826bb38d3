"""Many records: what is read and counted of them, and how much a page shows. Nothing here looks at a clock."""

import sys

import made_up_records
import numpy as np
import pytest

from fer_lib import paths, runs
from fer_lib.claims import judge
from fer_lib.evaluation import pooled, records, unpacked
from fer_lib.markdown import SHOWN, seed_list
from fer_lib.report import climb, sections, tables

sys.path.insert(0, str(paths.ROOT / "bench"))
import made_up_study  # noqa: E402

NAMES = ["saravanan2019/table1_feedforward", "saravanan2019/table1_simple_cnn", "ours/rung_04_augmentation"]


@pytest.fixture
def one(tmp_path):
    return made_up_records.network(tmp_path, 0, lambda labels: made_up_records.answers(labels, 3))


def arrays_of(record):
    return records.read_arrays(record["folder"] / "predictions.npz")


def same(one, other):
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one
    )


def test_what_was_unpacked_is_never_unpacked_again(one):
    arrays = arrays_of(one)
    assert (unpacked.prepare([one]), unpacked.prepare([one])) == (1, 0)
    (one["folder"] / "predictions.npz").write_bytes(b"no longer read")
    assert same(records.predictions(one), arrays)
    with pytest.raises(ValueError, match="read-only"):
        records.predictions(one)["labels"][0] = 1


def test_another_predictions_file_gets_another_copy(one, tmp_path):
    unpacked.prepare([one])
    (old,) = unpacked.place(one).iterdir()
    again = made_up_records.network(tmp_path, 0, lambda labels: made_up_records.answers(labels, 4))
    assert unpacked.prepare([again]) == 1 and not old.exists()
    assert same(records.predictions(again), arrays_of(again))


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-9], lambda b: b[:300] + b"\1" + b[301:], lambda b: b"", lambda b: b[8:]]
)
def test_a_damaged_copy_is_made_again(one, damage):
    unpacked.prepare([one])
    (copy,) = unpacked.place(one).iterdir()
    whole = copy.read_bytes()
    copy.write_bytes(damage(whole))
    assert unpacked.prepare([one]) == 1 and copy.read_bytes() == whole


def test_a_copy_whose_arrays_have_other_names_is_made_again(one):
    """`make fuzz` found it: the checksum was of the arrays alone."""
    unpacked.prepare([one])
    (copy,) = unpacked.place(one).iterdir()
    whole = copy.read_bytes()
    copy.write_bytes(whole.replace(b"'probabilities_best'", b"'probabilities_bost'"))
    assert copy.read_bytes() != whole
    assert unpacked.prepare([one]) == 1 and copy.read_bytes() == whole


def test_without_copies_or_where_none_can_be_kept_the_file_is_read(one):
    assert same(records.predictions(one), arrays_of(one))
    unpacked.place(one).parent.mkdir()
    unpacked.place(one).write_text("a file where the folder should be")
    assert unpacked.prepare([one]) == 0 and same(records.predictions(one), arrays_of(one))


def test_a_file_that_changed_since_it_was_read_is_refused(one):
    (one["folder"] / "predictions.npz").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"predictions\.npz: found SHA-256 .*, expected .*; it was changed just now"):
        unpacked.prepare([one])


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """300 records: 100 seeds of three experiments."""
    folder = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "RESULTS", folder)
        made_up_study.fill(made_up_records.faces(), NAMES, range(100))
    return folder


def test_claims_and_tables_unpack_each_file_once(many, monkeypatch):
    read, counted = [], []
    unpack, open_record = records.read_arrays, records.read
    monkeypatch.setattr(records, "read_arrays", lambda path, *of: read.append(path) or unpack(path, *of))
    monkeypatch.setattr(records, "read", lambda folder: counted.append(folder) or open_record(folder))
    all_records, experiments = records.load(many), runs.experiments()
    unpacked.prepare(all_records)
    with records.held(many, all_records):
        assert records.load(many) == all_records
        judged = judge.judge_ledger(records.load(many), experiments, many)
        page = sections.markdown(all_records, experiments, [], judged)
        for group in pooled.groups(all_records, experiments):
            tables.predicted(group)
            pooled.reliability(group)
        networks = climb.load_networks(all_records, experiments)
        climb.rungs(all_records, experiments, climb.SMALL, networks)
    assert len(page) > 1000 and len(read) == len(set(read)) == len(counted) == len(set(counted)) == 300


def test_a_page_shows_some_seeds_and_the_range_of_the_others(many):
    (group, *_) = pooled.groups(records.load(many), runs.experiments())
    lines = tables.predicted(group).split("\n")
    assert sum("predicted, seed " in line for line in lines) == SHOWN
    (rest,) = (line for line in lines if "predicted, seeds" in line)
    counts = [pooled.headline(record)["predicted"][0] for record in group[SHOWN:]]
    assert rest.startswith(f"| predicted, seeds 20 to 99 | {min(counts):,} to {max(counts):,} |")
    assert "seeds 0 to 99" in sections.about(group, {}) and len(pooled.confusion(group)) == 7
    few = tables.predicted(group[:SHOWN])
    assert "seeds 0" not in few and few.count("predicted, seed ") == SHOWN


def test_seeds_are_named_one_by_one_or_by_their_ranges():
    assert seed_list([3, 1, 2]) == "1, 2, 3"
    assert seed_list([*range(30), 40, *range(50, 52)]) == "0 to 29, 40, 50 to 51"


def test_as_many_seeds_of_a_rung_vote_as_its_file_declares(many):
    experiments = runs.experiments()
    group = [r for r in records.load(many) if r["experiment"] == NAMES[-1]]
    assert len(group) == 100 and experiments[NAMES[-1]]["seeds"] == 2
    assert climb.together(group, experiments)[climb.SMALL]["runs"] == 2
