"""The sentences that notebooks say of their results follow from the results."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
from made_up_records import faces

from fer_lib import runs
from fer_lib.data import ferplus
from fer_lib.report import findings


def test_the_most_and_the_least_frequent_emotion_are_named():
    even = faces()
    assert findings.frequencies(even).startswith("All emotions are about equally frequent")
    few = even.select(np.flatnonzero((even.labels != 1) | (np.arange(len(even)) % 21 == 1)))
    text = findings.frequencies(few)
    assert "times as frequent as the rarest, *disgust*" in text and "predicts *angry* for every test row" in text


def test_leaked_rows_are_counted_by_emotion():
    clean = faces()
    assert findings.leaks(clean).startswith("No test row")
    images = clean.images.copy()
    tests = np.flatnonzero((clean.split > 0) & (clean.labels == 3))
    images[tests[:5]] = images[0]
    leaked = type(clean)(**{**clean.__dict__, "images": images})
    text = findings.leaks(leaked)
    assert text.startswith("5 of 350 test rows (1.43\u00a0%) are leaked: most among *happy* (10.00\u00a0%)")


def test_a_collapse_is_told_by_the_predictions():
    labels = np.arange(70) % 7
    assert findings.predictions(labels, np.full(70, 3)).startswith("**Collapsed.** The model predicts *happy* for 100")
    text = findings.predictions(labels, np.where(labels == 6, 0, labels))
    assert text.startswith("**Not collapsed.** The model predicts 6 of 7 emotions and recognises 85.71 %")
    assert "more than the 14.29 %" in text and "*neutral* worst (0.0 %)" in text
    assert "no more than the 14.29 %" in findings.predictions(labels, (labels + 1) % 7)


def test_memory_is_the_gap_between_fitted_and_scored_rows():
    assert "a gap of 70.00 points: most of what it learned" in findings.memory(1.0, 0.3)
    assert "a gap of 20.00 points: part of it is memory" in findings.memory(0.8, 0.6)
    assert findings.memory(0.6, 0.6).endswith("a gap of 0.00 points.")


def test_half_of_the_importance_is_counted_from_the_largest():
    importances = np.zeros(2304)
    importances[[5, 6, 7]] = 0.5, 0.3, 0.2
    text = findings.importance(importances)
    assert text.startswith("Half of the importance lies on 1 of 2,304 pixels") and "2,301 are not asked" in text


def test_doubtful_labels_are_those_that_no_tagger_chose():
    few = faces()
    counts = np.zeros((len(few), 10), np.uint8)
    codes = np.where(few.labels == 2, (few.labels + 1) % 7, few.labels)
    counts[np.arange(len(few)), np.argsort(ferplus.IN_FER2013)[codes]] = 10
    text = findings.agreement(few, counts)
    assert "on 85.71\u00a0% of the rows of PrivateTest; on 14.29\u00a0% no tagger" in text
    assert "where it is *fear*: 100.00\u00a0% of these rows" in text


def test_a_video_is_told_by_its_frames():
    def frame(*seen):
        seconds = dict.fromkeys(("read", "detect", "crop", "classify"), 0.001)
        return SimpleNamespace(faces=[SimpleNamespace(track=track) for track in seen], seconds=seconds)

    results = [frame(1), frame(1), frame()]
    text = findings.frames(results, Counter({"happy": 1, "abstained": 1}))
    assert text.startswith("2 of 3 frames have a face; they are taken for one person.")
    assert "happy in 1, abstained in 1" in text and "A frame takes 4.0 ms" in text


def test_a_survey_is_told_by_its_first_detector():
    def line(condition, level, right, usual=False):
        found = {"blaze": 90, "tuned": 80}
        return {"condition": condition, "level": level, "usual": usual, "n": 100, "found": found} | {
            "right_of_found": {"blaze": right, "tuned": 1}
        }

    text = findings.conditions([line("size", 160, 60, True), line("size", 32, 10), line("tilt", 20, 55)])
    assert "`blaze` finds 90.0 % of 100 faces, and the network recognises 60.0 %" in text
    assert text.endswith("What costs most is size 32: 10.0 % found and recognised.")


def test_an_executed_notebook_says_which_experiment_it_is_of():
    known = runs.experiments()
    text = findings.this_run(known["related/li2018_ckplus"])
    assert text.startswith("**Li et al. on CK+, ten folds of people** (Systems, row 10). The paper has 99.31 %")
    assert "10 networks, each trained without the people of one fold" in text
    assert text.count("\n- ") == len(known["related/li2018_ckplus"]["deviations"])
    assert "The paper has no figure for it." in findings.this_run(known["related/yu2015"])
    assert findings.this_run(None).startswith("A trial")
    for name, experiment in known.items():
        assert experiment["title"] in findings.this_run(experiment), name
