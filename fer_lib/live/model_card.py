"""The card of the live model: what it is, how good it is, how it fails, and what it is not for. Every figure is
computed and also in ``fer_lib/live/model.json``."""

import numpy as np
from sklearn.metrics import confusion_matrix

from ..data import Faces
from ..data.emotions import FER2013
from ..evaluation import calibration, scoring
from ..markdown import interval, table

THRESHOLDS = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SETS = ("PublicTest", "PrivateTest", "PrivateTest clean", "PrivateTest near-clean", "PrivateTest leaked")


def scores(probabilities: np.ndarray, tests: Faces, faces: Faces) -> dict[str, dict]:
    """``scoring.score_set`` of each set, and second: the top-2 accuracy.

    ``probabilities`` (m, 7) belong to the ``tests``, PublicTest and PrivateTest, of all ``faces``.
    """
    p = np.zeros((len(faces), len(FER2013)), np.float32)
    p[np.searchsorted(faces.ids, tests.ids)] = probabilities
    second = (np.argsort(p, axis=1)[:, -2:] == faces.labels[:, None]).any(axis=1)
    predictions, masks = {"classes": p.argmax(axis=1), "probabilities": p}, scoring.sets(faces)
    return {
        name: scoring.score_set(predictions, faces.labels, masks[name]) | {"second": float(second[masks[name]].mean())}
        for name in SETS
        if name in masks
    }


def confusion(classes: np.ndarray, tests: Faces) -> list[list[int]]:
    """How often each emotion (row) of PrivateTest was predicted as each (column)."""
    rows = tests.rows("PrivateTest")
    return confusion_matrix(tests.labels[rows], classes[rows], labels=range(len(FER2013))).tolist()


def abstaining(probabilities: np.ndarray, tests: Faces) -> list[dict]:
    """Predictions above thresholds of confidence on PrivateTest: threshold, answered (their number), correct, n."""
    rows = tests.rows("PrivateTest")
    confidence, correct = probabilities[rows].max(axis=1), probabilities[rows].argmax(axis=1) == tests.labels[rows]
    sure = {threshold: confidence >= threshold for threshold in THRESHOLDS}
    return [
        {"threshold": threshold, "answered": int(some.sum()), "correct": int(correct[some].sum()), "n": len(rows)}
        for threshold, some in sure.items()
    ]


def beside_fer(about: dict, peers: dict | None) -> str:
    """Sentences in Markdown: how much of the lead over the PyPI package ``fer`` comes from the second look, what was
    known before it was tried, and which rows decided to keep it.

    about: ``model.json``. peers: "accuracy" of ``bench/peers.json``. "" if the two differ in the number of rows of
    PrivateTest, for example because the network was not made from FER2013.
    """
    both_looks = about["without_mirror"], about["scores"]["model.onnx"]
    once, twice = (scores["PrivateTest"] for scores in both_looks)
    decided = [_percent(scores["PublicTest"]["correct"] / scores["PublicTest"]["n"]) for scores in both_looks]
    others = [each["PrivateTest"] for name, each in (peers or {}).items() if name.startswith("fer")]
    if not others or {each["n"] for each in others} != {twice["n"]}:
        return ""
    theirs = max(others, key=lambda each: each["correct"])
    shares = [_percent(each["correct"] / each["n"]) for each in (theirs, once, twice)]
    single, both = (each["correct"] - theirs["correct"] for each in (once, twice))
    lines = [
        f"On the same {twice['n']:,} rows of PrivateTest the better network of the PyPI package `fer` recognises "
        f"{shares[0]} %,",
        f"the live model {shares[1]} % with one look ({single:+,} faces) and {shares[2]} % with two ({both:+,}).",
        "The scores with one look on these rows, ours and that of `fer`, were known before the second look was tried.",
        f"PublicTest decided to use two: {decided[1]} % of its rows against {decided[0]} %.",
    ]
    if both > 0:
        lines.insert(2, f"Of the lead of {both:,} faces, {both - single:,} come from the second look.")
    return "\n".join(lines)


def markdown(about: dict, peers: dict | None = None) -> str:
    """The card in Markdown, from what ``ship.write_files`` computed; ``peers`` as for ``beside_fer``."""
    float_, int8 = (about["scores"][name] for name in ("model.onnx", "model.int8.tflite"))
    made, source = about["made_by"], about["data"]["source"]
    files = ", ".join(f"`{name}` {content['bytes'] / 1e6:.2f} MB" for name, content in about["files"].items())
    private = float_["PrivateTest"]
    twice, once = (_percent(scores["PublicTest"]["accuracy"]) for scores in (float_, about["without_mirror"]))
    warning = "> ⚠ **Not made from FER2013.** The figures only show that the code works.\n\n"
    warning = "" if source.get("official") else warning
    accuracies = [
        {
            "Rows": name,
            "n": f"{score['n']:,}",
            "Accuracy, %": f"{_percent(score['accuracy'])} {interval(score['interval'])}",
            "Mean recall, %": _percent(score["balanced_accuracy"]),
            "Top-2 accuracy, %": _percent(score["second"]),
        }
        for name, score in float_.items()
    ]
    before_and_after = [
        {
            "Rows": name,
            "Error before, %": _percent(about["uncalibrated"][name]["calibration_error"]),
            "Error after, %": _percent(score["calibration_error"]),
            "Log-loss before": f"{about['uncalibrated'][name]['log_loss']:.4f}",
            "Log-loss after": f"{score['log_loss']:.4f}",
        }
        for name, score in float_.items()
    ]
    abstained = [
        {
            "Confidence at least": f"{line['threshold']:.1f}",
            "Coverage, %": _percent(line["answered"] / line["n"]),
            "Accuracy, %": _percent(line["correct"] / line["answered"]) if line["answered"] else "–",
        }
        for line in about["abstaining"]
    ]
    beside = f"{lead}\n\n" if (lead := beside_fer(about, peers)) else ""
    return f"""# Model card: the network of fer_lib.live

{warning}A small convolutional network that classifies a cropped grey face as one of seven emotions:
{", ".join(FER2013)}.
`make live-model` trained it, calibrated its confidence, exported it and wrote this page, with all its figures.

| | |
|:--|:--|
| network | `{about["parameters"]["model"]}` (`fer_lib/models/modern.py`), {about["weights"]:,} weights |
| files | {files} |
| SHA-256 of `model.onnx` | `{about["sha256"]}` |
| experiment | `{about["experiment"]}`, seed {about["seed"]}, {about["epochs"]} epochs in \
{made["seconds"] / 60:.0f} minutes on {made["device"]["name"]}, {made["backend"]} {made["precision"]} |
| data | {about["data"]["name"]}, {about["data"]["rows"]["Training"]:,} Training rows; SHA-256 of its arrays \
`{about["data"]["sha256"][:16]}…` |
| input | `faces` (k, 48, 48) uint8: grey faces, cropped to a detector's box |
| output | `probabilities` (k, 7) float32, calibrated, from the mean logits of the face and its mirror image |

## How good it is

The network is trained on Training, and the last epoch is kept, whatever its score. PublicTest decided two things: that
each face is looked at twice, the second time mirrored (an accuracy of {twice} %, against {once} % with one look),
and the temperature {about["temperature"]:.3f} by which the logits are divided. PrivateTest was only scored. Its *clean*
rows show images that no other part has, its *near-clean* rows images that no other part has even in cropped or marked
form; rows that are not clean are *leaked*. Brackets: Wilson's 95 % interval for the sampling of the rows; another seed
would change the figures too.

{table(accuracies)}
With one look it scores {_percent(about["without_mirror"]["PrivateTest"]["accuracy"])} % on PrivateTest. In 8 bits
(`model.int8.tflite`) it scores {_percent(int8["PrivateTest"]["accuracy"])} % on PrivateTest
{interval(int8["PrivateTest"]["interval"])} and predicts the same as float32 on
{100 * about["int8_agreement"]:.1f} % of the test rows. The probabilities of `model.onnx` differ from Keras' by at most
{about["off_keras"]:.1g}.

{beside}People agree with FER2013's labels on about 65 ± 5 % of its faces (Goodfellow et al. 2013).

## By emotion, on PrivateTest

{table(_emotions(private, about["confusion"]))}
## How sure it is

Calibration error: the mean gap between confidence and accuracy, over {calibration.BINS} bins.

{table(before_and_after)}
If you want fewer but more reliable predictions, use only those above a threshold (PrivateTest):

{table(abstained)}
## Known failures

{_failures(private, about["confusion"])}
- It was trained on faces of 48x48 pixels, mostly frontal, found by a face detector in pictures from the web. Partly
  hidden, turned or badly lit faces, and other crops than FER2013's, cost accuracy that no figure on this page shows:
  "Faces in use" in the [report](../results/report.html) measures how much.
- Its labels are what people guessed from one picture. Many are wrong or doubtful, and so are some predictions that
  count as right.
- FER2013 does not record who the people are (age, skin colour, culture). Whether the network is worse for some groups
  of people cannot be measured with this data, but has to be expected.

## What it is for, and what it must not be used for

It is for demonstrations, teaching, and comparing methods under FER2013's terms. It names the expression in a picture as
raters would; it does not know what anybody feels. It must not be used to judge, score or watch people: not in hiring,
school, policing, credit, insurance or health, and never without the knowledge and consent of the people filmed. The
European Union's AI Act (article 5) forbids inferring emotions at work and in education.

The weights are under this repository's licence. FER2013's pictures, which belong to the people on them, were collected
from the web for research. This card cannot say whether a network trained on them may be used commercially.
"""


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def _emotions(score: dict, counts: list[list[int]]) -> list[dict]:
    lines = []
    for code, (name, of) in enumerate(zip(FER2013, counts)):
        if name not in score["recall"]:
            continue
        recall, predicted = score["recall"][name], score["predicted"][name]
        others = sorted((c for c in range(len(FER2013)) if c != code), key=lambda c: -of[c])
        lines.append({
            "Emotion": name,
            "n": f"{recall['n']:,}",
            "Recall, %": f"{_percent(recall['recall'])} {interval(recall['interval'])}",
            "Precision, %": _percent(of[code] / predicted) if predicted else "–",
            "Often predicted as": ", ".join(f"{FER2013[c]} {100 * of[c] / recall['n']:.0f} %" for c in others[:2]),
        })  # fmt: skip
    return lines


def _failures(score: dict, counts: list[list[int]]) -> str:
    """The three most common confusions, as shares of the emotion, and the emotion with the lowest recall."""
    shares = np.array(counts) / np.maximum(1, np.sum(counts, axis=1, keepdims=True))
    np.fill_diagonal(shares, 0)
    worst = zip(*np.unravel_index(np.argsort(-shares, axis=None, kind="stable")[:3], shares.shape))
    texts = [f"{FER2013[of]} predicted as {FER2013[given]} ({100 * shares[of, given]:.0f} %)" for of, given in worst]
    least = min(score["recall"], key=lambda name: score["recall"][name]["recall"])
    recall = score["recall"][least]
    return (
        f"- Its most common mistakes: {'; '.join(texts)}.\n"
        f"- It recognises {least} least often: {100 * recall['recall']:.0f} % of {recall['n']} faces."
    )
