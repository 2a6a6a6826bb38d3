import numpy as np
import pytest

from fer_lib.evaluation import ensembles

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 7, 400)


def network(skill: float, sure: float = 1.0) -> np.ndarray:
    """Probabilities (400, 7) of a network that is right more often the more ``skill`` it has."""
    logits = sure * (RNG.normal(size=(400, 7)) + skill * np.eye(7)[LABELS])
    p = np.exp(logits)
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float16)


def accuracy(p: np.ndarray) -> float:
    return (p.argmax(axis=-1) == LABELS).mean()


def test_the_soft_vote_is_the_weighted_mean():
    p = np.array([[[0.5, 0.5]], [[0.9, 0.1]]])
    np.testing.assert_allclose(ensembles.soft_vote(p), [[0.7, 0.3]])
    np.testing.assert_allclose(ensembles.soft_vote(p, np.array([0.25, 0.75])), [[0.8, 0.2]])


def test_networks_that_err_apart_are_better_together_and_the_more_the_better():
    p = np.stack([network(1.0) for _ in range(5)])
    sizes = ensembles.by_size(p, LABELS)
    assert [line["size"] for line in sizes] == [1, 2, 3, 4, 5]
    assert sizes[0]["mean"] == pytest.approx(np.mean([accuracy(one) for one in p]))
    assert sizes[-1]["least"] == sizes[-1]["best"] == sizes[-1]["mean"] == accuracy(ensembles.soft_vote(p))
    assert sizes[-1]["mean"] > sizes[1]["mean"] > sizes[0]["mean"]
    assert all(line["least"] <= line["mean"] <= line["best"] for line in sizes)


def test_of_very_many_ensembles_some_are_sampled_always_the_same():
    p = np.stack([network(1.0) for _ in range(8)])
    once, again = (ensembles.by_size(p, LABELS, most=5) for _ in range(2))
    assert once == again
    assert once[0]["mean"] != ensembles.by_size(p, LABELS)[0]["mean"]  # 5 of 8
    many = np.stack([network(1.0)[:20] for _ in range(40)])  # 138 billion ensembles of 20: none but the sampled is made
    assert [line["size"] for line in ensembles.by_size(many, LABELS[:20], most=2)] == list(range(1, 41))


def test_the_learned_vote_favours_the_better_network_and_is_no_worse_by_its_own_measure():
    p = np.stack([network(2.0), network(0.0), network(0.0)])
    weights = ensembles.learned_weights(p, LABELS)
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all() and weights[0] > 0.9

    def loss(weights):
        return -np.log(ensembles.soft_vote(p.astype(float), weights)[np.arange(400), LABELS]).mean()

    for other in (np.full(3, 1 / 3), np.array([0.8, 0.1, 0.1]), np.array([1.0, 0, 0])):
        assert loss(weights) <= loss(other) + 1e-4
    alike = ensembles.learned_weights(np.stack([network(1.0), network(1.0), network(1.0, sure=1.01)]), LABELS)
    assert (abs(alike - 1 / 3) < 0.2).all()
    with pytest.raises(ValueError, match="found no row"):
        ensembles.learned_weights(p[:, :0], LABELS[:0])


def test_calibrated_networks_keep_their_classes_and_the_overconfident_one_loses_its_loud_voice():
    loud, quiet = network(0.5, sure=8.0), network(1.5)
    fitted = np.arange(400) < 200
    p = ensembles.calibrated(np.stack([loud, quiet]), fitted, LABELS)
    assert p.shape == (2, 400, 7) and p.dtype == np.float32
    np.testing.assert_allclose(p.sum(axis=-1), 1, atol=1e-5)
    settled = np.sort(loud, axis=1)[:, -1] > np.sort(loud, axis=1)[:, -2]
    np.testing.assert_array_equal(p[0].argmax(axis=-1)[settled], loud.argmax(axis=-1)[settled])
    assert p[0].max(axis=-1).mean() < loud.max(axis=-1).mean() - 0.2
    raw = ensembles.soft_vote(np.stack([loud, quiet]).astype(np.float32))
    assert accuracy(ensembles.soft_vote(p)) > accuracy(raw) + 0.05


def test_what_float16_made_0_is_no_certainty():
    p = np.zeros((1, 4, 7), np.float16)
    p[..., 0] = 1
    given = ensembles.calibrated(p, np.ones(4, bool), np.array([0, 0, 0, 1]))
    assert np.isfinite(given).all()
    assert np.isfinite(ensembles.learned_weights(p, np.array([0, 0, 0, 1]))).all()
