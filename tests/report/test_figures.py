import numpy as np
import pytest
from made_up_records import always, answers, faces, network
from matplotlib.figure import Figure

from fer_lib.data.emotions import FER2013
from fer_lib.evaluation import pooled
from fer_lib.report import figures


def words(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_class_distribution_counts_every_face():
    figure = figures.class_distribution(faces())
    axes = figure.axes[0]
    assert isinstance(figure, Figure)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Emotion", "Faces")
    assert [label.get_text() for label in axes.get_xticklabels()] == list(FER2013)
    assert words(axes) == ["60"] * 7
    assert sum(bar.get_height() for bar in axes.patches) == 420


def test_sample_faces_are_of_their_class_and_follow_the_seed():
    data = faces()
    first, again, other = (figures.sample_faces(data, per_class=2, seed=seed) for seed in (0, 0, 1))
    shown = [[axes.images[0].get_array() for axes in figure.axes] for figure in (first, again, other)]
    assert len(shown[0]) == 14
    assert np.array_equal(shown[0], shown[1]) and not np.array_equal(shown[0], shown[2])
    assert any(np.array_equal(shown[0][3], image) for image in data.images[data.labels == 3])


def test_sample_faces_leaves_gaps_where_a_class_is_small():
    data = faces()
    few = data.select(np.flatnonzero((data.labels != 1) | (data.ids < 7)))
    figure = figures.sample_faces(few, per_class=3)
    assert [len(axes.images) for axes in figure.axes[1::7]] == [1, 0, 0]


def test_sample_faces_refuses_none():
    with pytest.raises(ValueError, match="per_class: found 0"):
        figures.sample_faces(faces(), per_class=0)


def test_mean_faces_shows_means_of_many_only():
    data = faces()
    shown = figures.mean_faces(data)
    assert np.allclose(shown.axes[2].images[0].get_array(), data.images[data.labels == 2].mean(axis=0))
    assert [len(axes.images) for axes in figures.mean_faces(data, least=61).axes] == [0] * 7


def test_learning_curves_draw_every_seed_and_end_the_mean_with_the_shortest(tmp_path):
    group = [network(tmp_path, seed, lambda y: answers(y, 2), epochs=3 + seed) for seed in range(3)]
    figure = figures.learning_curves(group, reported=17.38)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch", "Accuracy")
    lengths = [len(line.get_xdata()) for line in axes.lines]
    assert lengths == [3, 4, 5, 3, 3, 4, 5, 3, 2]  # the seeds and their mean: training, test; the reported line
    assert np.allclose(axes.lines[-1].get_ydata(), 0.1738)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["training rows", "PublicTest+PrivateTest", "reported, 17.38 %"]


def test_learning_curves_have_a_band_from_the_lowest_to_the_highest_seed(tmp_path):
    group = [network(tmp_path, seed, lambda y: answers(y, 2)) for seed in range(3)]
    band = figures.learning_curves(group).axes[0].collections[1].get_paths()[0].vertices[:, 1]
    last = [record["history"][-1]["PublicTest+PrivateTest_accuracy"] for record in group]
    assert band.max() == pytest.approx(max(last)) and any(np.isclose(band, min(last)))
    assert not figures.learning_curves(group[:1]).axes[0].collections


def test_learning_curves_need_a_history():
    with pytest.raises(ValueError, match="history"):
        figures.learning_curves([{"history": []}])


def test_confusion_matrix_gives_shares_of_rows_and_counts():
    counts = np.diag([8] * 7)
    counts[1, 2] = 24
    counts[6] = 0  # an emotion without rows divides by nothing
    axes = figures.confusion_matrix(counts).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted", "True")
    assert words(axes)[2 * 8 : 2 * 10] == ["25 %", "8", "75 %", "24"]
    assert words(axes)[-1] == "0"


def test_the_papers_confusion_matrix_divides_by_the_wrong_totals():
    counts = np.zeros((7, 7), int)
    counts[0, 0], counts[0, 1], counts[1, 1] = 30, 10, 5  # 40 angry faces, 5 disgusted
    axes = figures.confusion_matrix_as_published(counts, [48, None, 47, 81, 46, 78, 56]).axes[0]
    assert words(axes)[:4] == ["75 %", "(48 %)", "200 %", ""]
    assert words(axes)[2 * 8 : 2 * 8 + 2] == ["100 %", ""]


def test_per_class_shows_percent_and_a_dash_for_what_is_unknown():
    scores = np.full((3, 7), 0.5)
    scores[0, 1] = np.nan
    figure = figures.per_class([("A", scores), ("B", scores)])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Precision", "Recall", "F1"]
    assert words(figure.axes[0]) == ["50", "–", *["50"] * 5] * 2 and words(figure.axes[2]) == ["50"] * 14
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["A", "B"]


def test_reliability_draws_bins_with_enough_predictions_and_names_the_error():
    curve = {"confidence": np.array([0.3, 0.9]), "accuracy": np.array([0.2, 0.5]), "counts": np.array([9, 90])}
    figure = figures.reliability([(name, curve | {"errors": [0.1, 0.3]}) for name in "ABCDE"])
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 5 and words(shown[4]) == ["ECE 20.0 %"]
    assert shown[0].lines[1].get_xdata().tolist() == [0.9]


def test_accuracy_overview_marks_reported_and_measured(tmp_path):
    found = [network(tmp_path, seed, lambda y: always(y, 4)) for seed in range(2)]
    experiments = {"saravanan2019/table1_feedforward": {"reported": {"accuracy": 17.38}}}
    axes = figures.accuracy_overview(pooled.accuracies(found, experiments)).axes[0]
    assert axes.get_xlabel() == "Accuracy (%)"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Feed-forward network"]
    drawn = [list(line.get_xdata()) for line in axes.lines]
    assert [17.38] in drawn and any(np.allclose(x, 100 / 7) for x in drawn if len(x) == 2)


def test_accuracy_overview_without_a_reported_value(tmp_path):
    found = [network(tmp_path, 0, lambda y: always(y, 4)), network(tmp_path, 0, lambda y: always(y, 4), backend="jax")]
    axes = figures.accuracy_overview(pooled.accuracies(found, {})).axes[0]
    assert "JAX, float32, CPU" in axes.get_yticklabels()[0].get_text()


def test_pixel_importance_is_a_picture_of_the_face():
    importances = np.zeros(2304)
    importances[48 * 10 + 5] = 1
    picture = figures.pixel_importance(importances).axes[0].images[0].get_array()
    assert picture[10, 5] == 100 and picture.sum() == 100


def test_captioned_figure_says_in_words_what_it_shows():
    page = figures.captioned(figures.confusion_matrix(np.eye(7, dtype=int)), 'Who is <taken> for "whom".').data
    assert 'alt="Who is &lt;taken&gt; for &quot;whom&quot;."' in page and "data:image/png;base64," in page
    page = figures.captioned(figures.confusion_matrix(np.eye(7, dtype=int)), "A caption.", "What it shows.").data
    assert 'alt="What it shows."' in page and "<figcaption>A caption." in page


def test_photographs_are_told_from_charts():
    assert '<figure class="photographs">' in figures.captioned(figures.mean_faces(faces()), "Faces.").data
    assert '<figure class="chart half">' in figures.captioned(figures.confusion_matrix(np.eye(7)), "A chart.").data


def test_pictures_are_the_same_bytes_every_time():
    one, two = (figures.class_distribution(faces())._repr_png_() for _ in range(2))
    assert one == two


def test_taggers_shows_shares_of_each_emotion_that_add_up():
    data = faces()
    counts = np.zeros((len(data), 10), np.uint8)
    counts[:, 1] = 10  # all ten see happiness everywhere
    axes = figures.taggers(data, counts).axes[0]
    widths = np.array([bar.get_width() for bar in axes.patches]).reshape(4, 7)
    assert np.allclose(widths.sum(axis=0), 100)
    assert widths[0].tolist() == [0, 0, 0, 100, 0, 0, 0] and widths[3, 3] == 0
    assert [label.get_text() for label in axes.get_yticklabels()] == list(FER2013)
