"""FER+: the ten taggers' counts, tied to FER2013 by the order of the rows."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_lib import paths
from fer_lib.data import SPLITS, Faces, banner, ferplus, load_faces
from fer_lib.data.emotions import EIGHT, mapping
from fer_lib.evaluation import records

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
ROWS = [
    "Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0",
    "PublicTest,,0,0,0,0,0,0,0,0,0,10",
    "PrivateTest,fer0000000.png,0,9,1,0,0,0,0,0,0,0",  # a name that stands above already
]


def written(path, rows=ROWS, header=HEADER):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def faces(splits=(0, 1, 2), labels=(6, 0, 5), official=True) -> Faces:
    images = np.zeros((len(splits), 48, 48), np.uint8)
    ids = np.arange(len(splits), dtype=np.int32)
    return Faces(
        images, np.array(labels, np.uint8), np.array(splits, np.uint8), ids, "fer2013", "", {"official": official}
    )


def test_counts_come_back_in_the_order_of_the_rows(tmp_path):
    counts, split = ferplus.load(written(tmp_path / "x.csv"))
    assert counts.dtype == split.dtype == np.uint8
    assert counts.tolist()[1:] == [[0] * 9 + [10], [0, 9, 1, 0, 0, 0, 0, 0, 0, 0]]
    assert split.tolist() == [0, 1, 2]


def test_it_is_found_by_the_variable_or_in_data(tmp_path, monkeypatch):
    assert ferplus.find() is None
    with pytest.raises(FileNotFoundError, match=r"FER\+ is not here: get fer2013new.csv .* set FERPLUS=PATH"):
        ferplus.load()
    paths.DATA.mkdir()
    kept = written(paths.DATA / "fer2013new.csv")
    assert ferplus.find() == kept
    other = written(tmp_path / "other.csv")
    monkeypatch.setenv("FERPLUS", str(other))
    assert ferplus.find() == other
    monkeypatch.setenv("FERPLUS", str(paths.DATA))
    assert ferplus.find() == kept
    monkeypatch.setenv("FERPLUS", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"FERPLUS=.*nowhere: found no such file"):
        ferplus.find()
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("FERPLUS", str(tmp_path / "folder"))
    with pytest.raises(FileNotFoundError, match=r"FERPLUS=.*folder: found a folder without fer2013new\.csv, expected"):
        ferplus.find()
    monkeypatch.setenv("FERPLUS", "")
    kept.unlink()
    kept.symlink_to("gone.csv")
    with pytest.raises(FileNotFoundError, match=r"data/fer2013new\.csv: found a link to gone\.csv, which is not there"):
        ferplus.find()


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("", [], r"x.csv: found an empty file, expected the columns Usage, neutral, happiness"),
        (HEADER.replace("neutral,happiness", "happiness"), ROWS, r"line 1: found the columns 'Usage,Image"),
        (HEADER.replace("neutral", "happiness"), ROWS, r"line 1: found the columns 'Usage,Image.* once each"),
        (HEADER, [], "line 2: found no rows"),
        (HEADER, [*ROWS, "Training,a.png,1,2"], "line 5: found 4 fields"),
        (HEADER, ["training,a.png,4,0,0,1,3,2,0,0,0,0"], "line 2: found Usage 'training', expected one of Tr"),
        (HEADER, ["Training,a.png,4,0,0,1,3,2,1,0,0,0"], "line 2: found the counts .* add up to 10"),
        (HEADER, ["Training,a.png,0,0,0,0,0,0,0,0,0,0"], "line 2: found the counts"),
        (HEADER, ["Training,a.png,4.5,0,0,1,3,2,0,0,0,0"], "line 2: found the counts"),
        (HEADER, ["Training,a.png,4,0,0,1,3,2,0,0,0,"], "line 2: found the counts"),
        (HEADER, ["Training,a.png,-1,0,0,1,3,2,5,0,0,0"], "line 2: found the counts"),
    ],
)
def test_a_malformed_file_is_refused_by_line(tmp_path, header, rows, message):
    with pytest.raises(ValueError, match=message):
        ferplus.load(written(tmp_path / "x.csv", rows, header))


def as_pandas(lines):
    return "\n".join(f"{k - 1 if k else ''},{line}" for k, line in enumerate(lines))


def as_excel(lines):
    return "\r\n".join([*(f"{line.replace(',', ';')};;" for line in lines), ";" * 13, ""])


def as_floats(lines):
    return "\n".join([lines[0], *(re.sub(r",(\d+)(?=,|$)", r",\1.0", line) for line in lines[1:])])


def by_name(lines):
    return "\n".join(",".join(reversed(line.split(","))) for line in lines)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("saved", [as_pandas, as_excel, as_floats, by_name])
def test_it_is_read_as_pandas_and_spreadsheets_save_it(tmp_path, saved, encoding):
    expected = ferplus.load(written(tmp_path / "x.csv"))
    (tmp_path / "y.csv").write_bytes(saved([HEADER, *ROWS]).encode(encoding))
    for one, other in zip(ferplus.load(tmp_path / "y.csv"), expected):
        np.testing.assert_array_equal(one, other)


def test_counts_for_faces_go_by_row_number_never_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("FERPLUS", str(written(tmp_path / "x.csv")))
    data = faces()
    assert ferplus.missing(data) == ""
    assert ferplus.counts_for(data)[:, 1].tolist() == [0, 0, 9]
    assert ferplus.counts_for(data.select(np.array([2, 0])))[:, 0].tolist() == [0, 4]
    assert ferplus.agreement(ferplus.counts_for(data), data.labels).tolist() == [4, 0, 1]


@pytest.mark.parametrize("splits", [(0, 1, 1), (0, 1, 2, 2)], ids=["another split", "a row more"])
def test_other_rows_are_refused(tmp_path, monkeypatch, splits):
    monkeypatch.setenv("FERPLUS", str(written(tmp_path / "x.csv")))
    with pytest.raises(ValueError, match=r"x.csv: found 3 rows, or a Usage, other than FER2013's"):
        ferplus.counts_for(faces(splits, (0,) * len(splits)))


def of_parts(rng):
    """Faces of 700 rows a part and taggers of whom about six of ten choose their labels, as lines of FER+."""
    split, labels = np.repeat([0, 1, 2], 700), rng.integers(0, 7, 2100)
    column = np.argsort(ferplus.IN_FER2013)[labels]
    chosen = np.where(rng.random((2100, 10)) < 0.6, column[:, None], rng.integers(0, 10, (2100, 10)))
    counts = [np.bincount(row, minlength=10) for row in chosen]
    return faces(split, labels), [f"{SPLITS[s]},x,{','.join(map(str, row))}" for s, row in zip(split, counts)]


def shuffled(start, stop):
    return lambda lines: [*lines[:start], *np.random.default_rng(1).permutation(lines[start:stop]), *lines[stop:]]


ORDERS = {
    "all of PrivateTest": (shuffled(1400, 2100), "rows 1400 to 1633 of PrivateTest"),
    "sorted in each part": (lambda lines: sorted(lines, key=lambda line: (SPLITS.index(line.split(",")[0]), line)),
                            r"rows 0 to 233 of Training"),
    "shifted by one": (lambda lines: [*lines[699:700], *lines[:699], *lines[700:]], r"rows 0 to 233 of Training"),
    "some of PublicTest": (shuffled(933, 1167), "rows 934 to 1166 of PublicTest"),
}  # fmt: skip


@pytest.mark.parametrize(("order", "where"), ORDERS.values(), ids=ORDERS)
def test_rows_in_another_order_are_refused(tmp_path, monkeypatch, order, where):
    data, lines = of_parts(np.random.default_rng(0))
    monkeypatch.setenv("FERPLUS", str(written(tmp_path / "x.csv", lines)))
    assert ferplus.agreement(ferplus.counts_for(data), data.labels).mean() == pytest.approx(6.4, abs=0.2)
    written(tmp_path / "x.csv", order(lines))
    message = (
        rf"x\.csv, {where} \(counted from 0\): found a mean of [01]\.\d\d of ten .*, expected about 5\.6, and 3\.6"
    )
    with pytest.raises(ValueError, match=message):
        ferplus.counts_for(data)
    ferplus.counts_for(data.select(np.arange(0, 2100, 2)))  # of a selection nothing is known


@pytest.mark.slow
def test_the_real_file_in_another_order_is_refused(fer2013_faces, ferplus_csv, tmp_path, monkeypatch):
    header, *lines = ferplus_csv.read_text().splitlines()
    monkeypatch.setenv("FERPLUS", str(ferplus_csv))
    assert ferplus.agreement(ferplus.counts_for(fer2013_faces), fer2013_faces.labels).mean() > 5.5
    monkeypatch.setenv("FERPLUS", str(tmp_path / "x.csv"))
    for code, part in enumerate(SPLITS):
        its = [k for k, line in enumerate(lines) if line.startswith(part)]
        assert its == np.flatnonzero(fer2013_faces.split == code).tolist()
        orders = (
            lambda part: sorted(part, key=lambda row: row.split(",")[1]),
            lambda part: part[1:] + part[:1],
            lambda part: part[:900] + part[900:1300][::-1] + part[1300:],
        )
        for order in orders:
            changed = lines[: its[0]] + order(lines[its[0] : its[-1] + 1]) + lines[its[-1] + 1 :]
            written(tmp_path / "x.csv", changed, header)
            with pytest.raises(ValueError, match=rf"of {part} \(counted from 0\): found a mean of [0123]\.\d\d of ten"):
                ferplus.counts_for(fer2013_faces)


def test_faces_that_are_not_the_official_fer2013_have_no_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("FERPLUS", str(written(tmp_path / "x.csv")))
    assert "official FER2013 only" in ferplus.missing(faces(official=False))
    with pytest.raises(ValueError, match="official FER2013 only"):
        ferplus.counts_for(faces(official=False))


def test_plurality_takes_the_first_of_a_tie_and_codes_of_fer2013():
    counts = np.zeros((5, 10), np.uint8)
    counts[0, [3, 5]] = 5  # sadness and disgust: the first wins
    counts[1, 7] = 10  # contempt has no code
    counts[2, [8, 2]] = 6, 4  # unknown, but surprise of the emotions
    counts[3, 9] = 10  # no face: no emotion chosen
    counts[4, 4] = 10  # anger
    assert ferplus.plurality(counts).tolist() == [4, -1, 5, 6, 0]
    assert ferplus.plurality(counts, 10).tolist() == [4, -1, -1, -1, 0]


# ---- the real file


@pytest.fixture(scope="module")
def real(ferplus_csv):
    return ferplus.load(ferplus_csv)


def test_the_real_file_has_the_known_rows(real, ferplus_csv):
    counts, split = real
    assert np.bincount(split).tolist() == [28709, 3589, 3589]
    assert np.flatnonzero(counts.sum(axis=1) != 10).tolist() == [10435]
    lines = [line.split(",") for line in ferplus_csv.read_text().splitlines()[1:]]
    nameless = np.array([line[1] == "" for line in lines])
    assert nameless.sum() == 173 and (counts[nameless, 9] == 10).all()
    assert (counts[:, 9] == 10).sum() == (counts[:, :8].sum(axis=1) == 0).sum() == 176
    names = [line[1] for line in lines if line[1]]
    assert len(names) - len(set(names)) == 4
    assert lines[5274][1] == lines[6968][1] and lines[34334][1] == lines[33200][1]


def test_the_real_file_agrees_with_fer2013_s_labels_as_known(real):
    counts, split = real
    # FER2013's labels of the test rows, as any committed record holds them
    (record,) = [r for r in records.load(paths.RESULTS) if r["folder"].match("table1_simple_cnn/tensorflow-seed0")]
    kept = records.predictions(record)
    private = kept["split"] == 2
    labels, counts = kept["labels"][private], counts[kept["ids"][private]]
    assert (split[kept["ids"]] == kept["split"]).all()
    same, same_of_ten = (ferplus.plurality(counts, columns) == labels for columns in (8, 10))
    assert (same.sum(), same_of_ten.sum(), len(labels)) == (2242, 2231, 3589)  # 62.47 and 62.16 %
    by_emotion = [round(100 * same[labels == code].mean(), 1) for code in range(7)]
    assert by_emotion == [49.3, 30.9, 13.6, 92.8, 38.7, 75.7, 87.9]
    assert 13.4 < 100 * same_of_ten[labels == 2].mean() < 13.5
    agree = ferplus.agreement(counts, labels)
    sizes = [((low <= agree) & (agree <= high)).sum() for low, high in ferplus.LEVELS.values()]
    assert sizes == [739, 1226, 1041, 583]
    # what `score` says of the clearest and the most doubtful rows
    assert (labels[agree == 10] == 3).mean() > 0.7 and (labels[agree == 0] == 2).mean() > 0.5


# ---- what to train towards


def votes(**chosen):
    return np.array([[chosen.get(name.replace(" ", "_"), 0) for name in ferplus.COLUMNS]], np.uint8)


def named(row):
    return {EIGHT[k]: round(float(value), 3) for k, value in enumerate(row) if value}


@pytest.mark.parametrize(
    ("chosen", "majority", "distribution", "multi"),
    [
        ({"happiness": 10}, {"happy": 1}, {"happy": 1}, {"happy": 1}),
        # single votes count for nothing: 5 of 8 that do are more than half
        ({"anger": 5, "fear": 3, "sadness": 1, "NF": 1}, {"angry": 1}, {"angry": 0.625, "fear": 0.375},
         {"angry": 1, "fear": 1}),
        ({"anger": 5, "contempt": 5}, {}, {"angry": 0.5, "contempt": 0.5}, {"angry": 1, "contempt": 1}),
        ({"anger": 4, "fear": 3, "unknown": 3}, {}, {"angry": 0.571, "fear": 0.429}, {"angry": 1, "fear": 1}),
        ({"unknown": 6, "sadness": 4}, {}, {}, {}),
        ({"NF": 10}, {}, {}, {}),
        # too scattered: five columns of two
        ({"neutral": 2, "happiness": 2, "surprise": 2, "sadness": 2, "anger": 2}, {}, {}, {}),
        # one vote each: none counts
        ({name: 1 for name in ferplus.COLUMNS}, {}, {}, {}),
    ],
)  # fmt: skip
def test_the_schemes_make_of_votes_what_they_say(chosen, majority, distribution, multi):
    counts = votes(**chosen)
    for scheme, expected in {"majority": majority, "distribution": distribution, "multi-label": multi}.items():
        assert named(ferplus.targets(counts, scheme)[0]) == expected, scheme
    np.testing.assert_array_equal(ferplus.targets(counts, "drawn"), ferplus.targets(counts, "distribution"))


def test_another_scheme_is_refused():
    with pytest.raises(
        ValueError, match="scheme: found 'mean', expected one of majority, distribution, multi-label, dr"
    ):
        ferplus.targets(votes(fear=10), "mean")


tens = st.lists(st.integers(0, 9), min_size=10, max_size=10).map(lambda chosen: np.bincount(chosen, minlength=10))


@settings(deadline=None)
@given(st.lists(tens, min_size=1, max_size=20))
def test_targets_are_whole_or_nothing_and_agree_with_the_votes(rows):
    counts = np.array(rows, np.uint8)
    for scheme in ferplus.SCHEMES:
        targets = ferplus.targets(counts, scheme)
        assert targets.shape == (len(rows), 8) and targets.dtype == np.float32
        kept = targets.any(axis=1)
        sums = targets[kept].sum(axis=1)
        assert (sums >= 1).all() if scheme == "multi-label" else np.allclose(sums, 1)
        back = mapping(ferplus.COLUMNS[:8], EIGHT)
        assert (counts[:, :8][targets[:, back] > 0] > 1).all()  # nobody is trained towards a single vote
        if scheme == "majority":
            assert ((targets > 0).sum(axis=1) <= 1).all()


def test_faces_are_labelled_anew_and_rows_without_a_majority_go(tmp_path, monkeypatch):
    monkeypatch.setenv("FERPLUS", str(written(tmp_path / "x.csv", [*ROWS[1:], ROWS[0]])))
    labelled = ferplus.labelled(faces((1, 2, 0)))
    assert (labelled.name, labelled.ids.tolist(), labelled.labels.tolist(), labelled.split.tolist()) == (
        "ferplus",
        [1],
        [3],
        [2],
    )
    assert labelled.emotions == EIGHT and "2 rows without a label" in labelled.source["ferplus"]
    assert "FER+" in banner(labelled)


def test_faces_with_targets_are_trained_towards_the_votes_and_scored_by_the_majority(tmp_path, monkeypatch):
    torn, sure, nothing = votes(anger=5, fear=5)[0], votes(happiness=10)[0], votes(NF=10)[0]
    monkeypatch.setattr(ferplus, "counts_for", lambda faces: np.array([torn, sure, torn, sure, nothing]))
    data = faces((0, 0, 1, 2, 0), labels=(0, 3, 0, 3, 6))
    soft = ferplus.labelled(data, "distribution")
    assert (soft.name, soft.ids.tolist()) == ("ferplus_distribution", [0, 1, 3])  # a torn test row has no majority
    assert soft.targets[0, [EIGHT.index("angry"), EIGHT.index("fear")]].tolist() == [0.5, 0.5]
    assert [soft.emotions[k] for k in soft.labels] == ["angry", "happy", "happy"]
    both = ferplus.labelled(data, "multi-label")
    assert both.targets[0, [EIGHT.index("angry"), EIGHT.index("fear")]].tolist() == [1, 1]
    hard = ferplus.labelled(data)
    assert hard.targets is None and hard.ids.tolist() == [1, 3]
    assert len({soft.sha256, both.sha256, hard.sha256}) == 3
    np.testing.assert_array_equal(soft.select([2, 0]).targets, soft.targets[[2, 0]])


@pytest.mark.parametrize("name", ferplus.DATA)
def test_drawn_faces_have_synthetic_taggers(name):
    stand_in = load_faces(f"drawn_{name}")
    assert stand_in.name == f"drawn_{name}" and stand_in.emotions == EIGHT
    assert (stand_in.targets is None) == (name == "ferplus")
    drawn = load_faces("drawn_faces")
    assert (stand_in.labels == drawn.labels[stand_in.ids]).mean() > 0.95
    assert len(drawn) * 0.95 < len(stand_in) < len(drawn)  # some taggers do not agree
    assert load_faces(f"drawn_{name}").sha256 == stand_in.sha256


@pytest.mark.slow
def test_the_data_sets_of_the_real_file_have_these_rows(fer2013_faces, ferplus_csv, monkeypatch):
    monkeypatch.setenv("FERPLUS", str(ferplus_csv))
    for scheme, training in {"majority": 25060, "distribution": 27956, "multi-label": 27671}.items():
        labelled = ferplus.labelled(fer2013_faces, scheme)
        assert np.bincount(labelled.split).tolist() == [training, 3199, 3153]


def test_the_schemes_keep_these_rows_of_the_real_file(real):
    counts, split = real
    kept = {}
    for scheme in ("majority", "distribution", "multi-label"):
        targets = ferplus.targets(counts, scheme)
        rows = targets.any(axis=1)
        assert not rows[counts[:, 9] == 10].any()  # no face
        kept[scheme] = np.bincount(split[rows]).tolist()
        if scheme == "majority":
            assert np.bincount(targets[rows].argmax(axis=1)).tolist() == [2660, 161, 677, 9045, 3749, 3960, 11012, 148]
        if scheme == "multi-label":
            assert targets.sum(axis=0).tolist() == [3808, 437, 1539, 10217, 6816, 5415, 14881, 433]
    assert kept == {
        "majority": [25060, 3199, 3153],
        "distribution": [27956, 3505, 3505],
        "multi-label": [27671, 3472, 3472],
    }


def test_the_two_rows_with_a_wrong_name_keep_their_own_votes(real, ferplus_csv):
    """By name they would get those of rows 6,968 and 33,200."""
    lines = [line.split(",") for line in ferplus_csv.read_text().splitlines()[1:]]
    counts, _ = real
    for row, other in ((5274, 6968), (34334, 33200)):
        assert lines[row][1] == lines[other][1]
        assert counts[row].tolist() == [int(text) for text in lines[row][2:]]
    assert counts[34334].tolist() != counts[33200].tolist()
