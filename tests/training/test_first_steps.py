"""Sweeps: collapse and its cause, resuming, records. Runs under every Keras backend."""

import json
import tempfile
from dataclasses import replace

import keras
import numpy as np
import pytest

from fer_lib import runs
from fer_lib.evaluation import pooled, records
from fer_lib.report import tables
from fer_lib.report.causes import collapse, figures
from fer_lib.training import first_steps, loop
from fer_lib.training.protocol import Protocol

SMALL = Protocol(model="feedforward", batch_size=14, epochs=1)
SHARP = replace(SMALL, input_scale="0..255", learning_rate=0.01, batch_size=42)  # of 42 some move it at first
TINY = {"model": "eleven_layers", "model_options": {"width": 4, "dense": 16}}


@pytest.fixture
def evaluated(few_faces):
    return few_faces.select(first_steps.evaluated_rows(few_faces, 0))


def steps_of(faces, evaluated, protocol, steps=6, seed=0):
    trace, predicted, _ = first_steps.take_steps(faces, protocol, seed, steps, evaluated)
    return dict(zip(first_steps.QUANTITIES, trace.T)), predicted


def test_the_clipped_loss_loses_its_gradient_and_the_network_collapses(few_faces, evaluated):
    of, predicted = steps_of(few_faces, evaluated, replace(SHARP, loss="clipped"), 9)
    without = of["saturated"] == 1
    assert without[2:].all() and not without[0]
    assert (of["gradient_norm"][without] == 0).all()  # exactly
    assert (of["gradient_norm"][~without] > 0).all()
    line = first_steps.line(replace(SHARP, loss="clipped"), 0, np.array(list(of.values())).T, predicted, evaluated)
    assert line["collapsed_to"] == few_faces.emotions[predicted[0]] and len(set(predicted)) == 1
    assert line["stuck_since"] == 1 + int(np.argmax(without)) and line["most_given_share"] == 1
    wrong = 1 - of["accuracy"][without]
    np.testing.assert_allclose(of["loss"][without], -np.log(1e-7) * wrong, atol=1e-3)  # the stored losses follow


def test_from_logits_the_same_network_keeps_its_gradient(few_faces, evaluated):
    clipped, _ = steps_of(few_faces, evaluated, replace(SHARP, loss="clipped"))
    logits, predicted = steps_of(few_faces, evaluated, replace(SHARP, loss="logits"))
    assert logits["saturated"][0] == clipped["saturated"][0] > 0  # the same network, the same batch
    assert logits["accuracy"][0] == clipped["accuracy"][0]
    assert (logits["gradient_norm"] > 1).all()
    assert first_steps.line(SHARP, 0, np.array(list(logits.values())).T, predicted, evaluated)["stuck_since"] is None


def test_small_inputs_saturate_nothing(few_faces, evaluated):
    of, _ = steps_of(few_faces, evaluated, replace(SMALL, loss="clipped"))
    assert (of["saturated"] == 0).all() and (of["gradient_norm"] > 0).all()
    assert ((0 < of["dead"]) & (of["dead"] < 0.6)).all()
    assert ((1 / 7 < of["most_given_share"]) & (of["most_given_share"] <= 1)).all()


@pytest.mark.parametrize(
    "fields",
    [{"decay": 1e-3}, {"optimizer": "rmsprop", **TINY}, {"optimizer": "sgd", "momentum": 0.9}],
    ids=lambda fields: fields.get("optimizer", "adam"),
)
def test_these_are_the_first_steps_of_the_training_itself(few_faces, fields):
    protocol = replace(SMALL, epochs=2, batch_size=16, learning_rate=1e-3, weight_decay=0.01, **fields)
    trained, evaluated = loop.train(few_faces, protocol, 3, progress=lambda line: None)
    trace, predicted, count = first_steps.take_steps(
        few_faces, protocol, 3, 6, evaluated
    )  # two epochs of three batches
    losses, sizes = trace[:, 0], np.array([16, 16, 10] * 2)
    for epoch, rows in enumerate((slice(0, 3), slice(3, 6))):
        mean = (losses[rows] * sizes[rows]).sum() / 42
        assert trained.history[epoch]["loss"] == pytest.approx(mean, rel=1e-3)
    assert (predicted == trained.logits["last"].argmax(axis=1)).all()
    assert count == trained.model.count_params()


def test_a_kill_leaves_no_temporary_file(few_faces, evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    steps_of(few_faces, evaluated, replace(SMALL, loss="clipped"), 2)
    assert not [*tmp_path.iterdir()]  # at this point


def test_a_weight_penalty_is_in_the_step_but_not_in_the_gradient_that_is_shown(few_faces, evaluated, monkeypatch):
    def penalised(strength):
        layers = [keras.Input((48, 48, 1)), keras.layers.Flatten()]
        layers += [keras.layers.Dense(8, activation="relu", kernel_regularizer=keras.regularizers.L2(strength))]
        return keras.Sequential([*layers, keras.layers.Dense(7)])

    protocol, traces = replace(SMALL, optimizer="sgd", learning_rate=0.01), []
    for strength in (0.0, 20.0):
        monkeypatch.setattr(first_steps.models, "build", lambda *_, strength=strength: penalised(strength))
        traces.append(steps_of(few_faces, evaluated, protocol, 2)[0])
    np.testing.assert_allclose(traces[0]["gradient_norm"][0], traces[1]["gradient_norm"][0], rtol=1e-5)
    assert traces[0]["loss"][0] == pytest.approx(traces[1]["loss"][0], rel=1e-5)
    assert traces[0]["loss"][1] != pytest.approx(traces[1]["loss"][1], rel=1e-4)


class Killed(BaseException):
    pass


def small_sweep(faces, evaluated, folder=None, steps=3):
    settings = first_steps.factorial(SMALL, ["0..255"], ["clipped"], [1.0, 10, 0.1], [0])
    return first_steps.sweep(faces, settings, steps, evaluated, folder)


def test_a_killed_sweep_ends_like_an_unbroken_one(few_faces, evaluated, tmp_path, monkeypatch):
    whole, take, taken = small_sweep(few_faces, evaluated), first_steps.take_steps, []

    def count(*arguments):
        taken.append(arguments)
        if len(taken) == 2:
            raise Killed
        return take(*arguments)

    monkeypatch.setattr(first_steps, "take_steps", count)
    with pytest.raises(Killed):
        small_sweep(few_faces, evaluated, tmp_path)
    resumed = small_sweep(few_faces, evaluated, tmp_path)
    assert len(taken) == 4  # one before the kill, the killed one, and the two that were left
    assert resumed.settings == whole.settings and resumed.parameter_count == whole.parameter_count
    for name, values in whole.arrays().items():
        np.testing.assert_array_equal(resumed.arrays()[name], values)
    other = small_sweep(few_faces, evaluated, tmp_path, steps=2)  # what other steps left is not taken
    assert len(taken) == 7 and other.traces["loss"].shape == (3, 2)


def test_every_combination_once():
    settings = first_steps.factorial(SMALL, ["0..255", "0..1"], ["clipped", "logits"], [1.0, 0.1], [4, 5])
    assert len(set((p.input_scale, p.loss, p.learning_rate, seed) for p, seed in settings)) == 16
    assert {p.learning_rate for p, _ in settings} == {1e-3, 1e-4}
    assert all(p.model == "feedforward" for p, _ in settings)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"losses": []}, r"losses: found \[\], expected one level or more"),
        ({"seeds": [1, 1]}, r"seeds: found \[1, 1\], expected one level or more, each once"),
        ({"losses": ["clip"]}, "loss: found 'clip', expected one of logits, clipped"),
        ({"input_scales": ["0-1"]}, "input_scale: found '0-1', expected one of 0..255, 0..1, standardised"),
        ({"rate_factors": [0.0]}, "rate_factors: found 0.0, expected numbers above 0"),
        ({"rate_factors": ["1e-1"]}, "rate_factors: found '1e-1', expected numbers above 0"),
    ],
)
def test_wrong_levels_are_refused_by_name(wrong, message):
    levels = {"input_scales": ["0..1"], "losses": ["logits"], "rate_factors": [1.0], "seeds": [0]} | wrong
    with pytest.raises(ValueError, match=message):
        first_steps.factorial(SMALL, **levels)


def test_what_a_sweep_cannot_show_is_refused(few_faces, evaluated):
    with pytest.raises(ValueError, match="steps: found 0, expected 1 or more"):
        first_steps.sweep(few_faces, [(SMALL, 0)], 0, evaluated)
    with pytest.raises(ValueError, match="augmentation: found flip, a sweep takes none only"):
        first_steps.sweep(few_faces, [(replace(SMALL, augmentation="flip"), 0)], 1, evaluated)
    with pytest.raises(ValueError, match="asked: found 15, but PublicTest of drawn_faces has 14"):
        first_steps.evaluated_rows(few_faces, 15)


def test_only_public_test_is_asked(few_faces):
    rows = first_steps.evaluated_rows(few_faces, 9)
    assert len(rows) == 9 and (few_faces.split[rows] == 1).all()
    np.testing.assert_array_equal(rows, first_steps.evaluated_rows(few_faces, 9))


# ---- the record


@pytest.fixture
def recorded(few_faces, evaluated, tmp_path):
    """The record, as the notebook keeps it, of a sweep that never was."""
    settings = first_steps.factorial(SMALL, ["0..255", "0..1"], ["clipped"], [1.0, 0.1], [0])
    rng = np.random.default_rng(0)
    traces = rng.random((4, 3, len(first_steps.QUANTITIES)), np.float32)
    predicted = rng.integers(0, 7, (4, len(evaluated)), np.uint8)
    lines = [first_steps.line(*setting, *of, evaluated) for setting, *of in zip(settings, traces, predicted)]
    by_quantity = dict(zip(first_steps.QUANTITIES, np.moveaxis(traces, 2, 0)))
    result = first_steps.Sweep(lines, by_quantity, predicted, 1, 1.0)
    record, arrays = records.assemble(
        experiment="ours/a_sweep", title="A sweep", profile="full", parameters={"seed": 0, "steps": 3},
        faces=few_faces, evaluated=evaluated, kept={}, backend="tensorflow", device={"kind": "cpu"}, seconds=1.0,
    )  # fmt: skip
    folder = tmp_path / "runs" / "ours" / "a_sweep" / "tensorflow-seed0"
    records.write(folder, record | {"sweep": result.settings}, arrays | result.arrays())
    return records.read(folder)


def test_a_sweeps_record_is_read_and_checked(recorded):
    records.check(recorded)
    traces = records.traces(recorded)
    assert tuple(traces) == first_steps.QUANTITIES
    assert all(values.shape == (4, 3) and values.dtype == np.float32 for values in traces.values())
    assert recorded["metrics"] == {} and len(recorded["sweep"]) == 4


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r, a: a.pop("answers"), "found .*, expected answers, ids"),
        (lambda r, a: a.update(trace_loss=a["trace_loss"][:, :2]), r"trace_loss is \(4, 2\), expected \(4, 3\)"),
        (lambda r, a: a.update(answers=a["answers"][:3]), r"answers is \(3, \d+\), expected \(4, "),
        (lambda r, a: r["sweep"][0].update(accuracy=0.99), "its settings score .* metrics.json says"),
        (lambda r, a: a.update(labels=a["labels"][:3]), r"labels is \(3,\), expected"),
    ],
)
def test_a_sweeps_record_that_does_not_hang_together_is_refused(recorded, spoil, message):
    record, arrays = json.loads((recorded["folder"] / "metrics.json").read_text()), records.predictions(recorded)
    spoil(record, arrays)
    records.write(recorded["folder"], record, arrays)
    with pytest.raises(ValueError, match=message):
        records.check(records.read(recorded["folder"]))


def test_a_sweep_stands_in_no_table_of_accuracies(recorded):
    known = runs.experiments()
    assert pooled.groups([recorded], known) == []
    assert len(pooled.accuracies([recorded], known)) == 0 and len(pooled.honest([recorded], known)) == 0
    sweeps = [name for name, experiment in known.items() if experiment.get("notebook") == "4_first_steps"]
    written = tables.results([recorded], known)
    assert sweeps and all(known[name]["title"] not in written for name in sweeps)


def test_outcomes_pool_the_seeds_of_a_setting(few_faces, evaluated):
    settings = first_steps.factorial(SHARP, ["0..255"], ["clipped", "logits"], [1.0], [0, 1])
    result = first_steps.sweep(few_faces, settings, 9, evaluated)
    clipped, logits = pooled.outcomes(result.settings)
    assert (clipped["Seeds"], clipped["Collapsed"], clipped["Without gradient at the end"]) == (2, 2, 2)
    assert (logits["Loss"], logits["Seeds"], logits["Without gradient at the end"]) == ("logits", 2, 0)
    assert sum(int(part.split()[1][:-1]) for part in clipped["To"].split(", ")) == 2
    diverged = [line | {"final_loss": float("nan")} for line in result.settings[:1]]
    assert pooled.outcomes(diverged + result.settings[1:])[0]["Last step"] == "nan"


def test_figures_have_a_line_for_each_setting_and_a_dot_for_each_step(recorded):
    traces = records.traces(recorded)
    axes = figures.first_steps(recorded["sweep"], traces).axes
    assert len(axes) == 2 * len(collapse.TRACES)
    assert [axis.get_title(loc="left") for axis in axes[:2]] == ["pixels 0..255", "pixels 0..1"]
    np.testing.assert_array_equal(axes[0].lines[1].get_ydata(), traces["loss"][1])
    (dots,) = figures.saturation(recorded["sweep"], traces).axes[0].lines
    assert len(dots.get_xdata()) == 12


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY" * 9])
def test_a_damaged_setting_is_told_and_made_again(few_faces, evaluated, tmp_path, capsys, content):
    whole = small_sweep(few_faces, evaluated, tmp_path)
    (tmp_path / "checkpoint-settings" / "0001.npz").write_bytes(content)
    again = small_sweep(few_faces, evaluated, tmp_path)
    assert "0001.npz: found no .npz that can be read" in capsys.readouterr().out
    for name, values in whole.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], values)


def test_a_setting_that_diverges_is_named(few_faces):
    protocol = Protocol(model="feedforward", optimizer="sgd", learning_rate=1e30)
    with pytest.raises(ValueError, match=r"0..1, logits, rate 1e\+30, seed 3, step 4: found .*NaN or .* diverged"):
        first_steps.sweep(few_faces, [(protocol, 3)], 4, few_faces)
