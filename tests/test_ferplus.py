"""FER+: the ten taggers' counts, tied to FER2013 by the order of the rows."""

import numpy as np
import pytest

from fer_lib import paths, records
from fer_lib.datasets import Faces, ferplus

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
    given = written(tmp_path / "other.csv")
    monkeypatch.setenv("FERPLUS", str(given))
    assert ferplus.find() == given
    monkeypatch.setenv("FERPLUS", str(paths.DATA))
    assert ferplus.find() == kept
    monkeypatch.setenv("FERPLUS", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"FERPLUS=.*nowhere: found no such file"):
        ferplus.find()


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("", [], r"line 1: found the columns ''"),
        (HEADER.replace("neutral,happiness", "happiness,neutral"), ROWS, r"line 1: found the columns 'Usage,Image"),
        (HEADER, [], "line 2: found no rows"),
        (HEADER, [*ROWS, "Training,a.png,1,2"], "line 5: found 4 fields"),
        (HEADER, ["training,a.png,4,0,0,1,3,2,0,0,0,0"], "line 2: found 12 fields, the first 'training', expected 12"),
        (HEADER, ["Training,a.png,4,0,0,1,3,2,1,0,0,0"], "line 2: found the counts .* add up to 10"),
        (HEADER, ["Training,a.png,0,0,0,0,0,0,0,0,0,0"], "line 2: found the counts"),
        (HEADER, ["Training,a.png,4.0,0,0,1,3,2,0,0,0,0"], "line 2: found the counts"),
        (HEADER, ["Training,a.png,-1,0,0,1,3,2,5,0,0,0"], "line 2: found the counts"),
    ],
)
def test_a_malformed_file_is_refused_by_line(tmp_path, header, rows, message):
    with pytest.raises(ValueError, match=message):
        ferplus.load(written(tmp_path / "x.csv", rows, header))


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
