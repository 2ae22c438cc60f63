import numpy as np
import pytest

from vanishing_jax.theory import weight_law


def haar(rng, n):
    Q, R = np.linalg.qr(rng.normal(size=(n, n)))
    return Q * np.sign(np.diagonal(R))


DRAWS = {
    "gaussian": lambda rng, n: rng.normal(size=(n, n)) / np.sqrt(n),
    "uniform": lambda rng, n: rng.uniform(-1, 1, size=(n, n)) * np.sqrt(3 / n),
    "orthogonal": haar,
}


@pytest.mark.parametrize("kind", DRAWS)
def test_scores_of_draws_are_calibrated(kind):
    rng, n, count = np.random.default_rng(0), 20, 150
    laws = [weight_law(0.7 * DRAWS[kind](rng, n)) for _ in range(count)]
    name = "orthogonal" if kind == "orthogonal" else "gaussian"
    assert {law.name for law in laws} == {name} and not any(law.reason for law in laws)
    assert np.mean([law.gain for law in laws]) == pytest.approx(0.7, rel=0.01)
    for what in laws[0].scores:
        scores = [law.scores[what] for law in laws]
        assert abs(np.mean(scores)) < 0.4, what
        assert 0.75 < np.std(scores) < 1.3, what


STRUCTURED = {
    "mean entry": lambda W, rng: W + 0.15,
    "row strengths": lambda W, rng: W * np.linspace(0.3, 1.7, len(W))[:, None],
    "column strengths": lambda W, rng: W * np.linspace(0.3, 1.7, len(W)),
    "trace": lambda W, rng: W + 0.5 * np.eye(len(W)),
    "trace of the square": lambda W, rng: W + W.T,
    "singular values": lambda W, rng: W + 2.5 * np.outer(*(rng.normal(size=(2, 60)) / 60**0.5)),
}


@pytest.mark.parametrize("what", STRUCTURED)
def test_structure_is_found_by_its_own_score(what):
    rng = np.random.default_rng(1)
    law = weight_law(STRUCTURED[what](DRAWS["gaussian"](rng, 60), rng))
    assert law.name == "structured"
    assert what in law.reason and abs(law.scores[what]) > 5


def test_one_unit_identities_and_reflections():
    assert weight_law(np.eye(5)).name == "identity"
    assert weight_law(-0.3 * np.eye(5))[:2] == ("identity", -0.3)
    assert weight_law(np.array([[2.0]]))[:2] == ("identity", 2.0)
    assert weight_law(np.zeros((3, 3)))[:2] == ("identity", 0.0)
    assert weight_law(np.roll(np.eye(30), 1, axis=0)).name == "orthogonal"  # a cycle: trace 0
    flipped = weight_law(np.diag(np.r_[np.ones(29), -1.0]))
    assert flipped.name == "structured" and "trace off by 28 sd" in flipped.reason
    with pytest.raises(ValueError, match="square, finite"):
        weight_law(np.full((2, 2), np.inf))
