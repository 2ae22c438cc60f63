import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax.tasks import CopyMemory

from .draws import FEW, assert_frequencies, draws


@pytest.mark.parametrize("name", ["CopyMemory", "CopyMemory, gu"])
def test_targets_follow_from_the_inputs(name):
    drawn = draws(name)
    assert (drawn.inputs.sum(axis=2) == 1).all()
    shown = drawn.inputs.argmax(axis=2)  # 0 blank, 1..3 symbols, 4 delimiter
    for sequence, targets in zip(shown[:FEW].tolist(), drawn.targets[:FEW].tolist(), strict=True):
        memory = sequence[:2]
        assert all(1 <= symbol <= 3 for symbol in memory)
        if name == "CopyMemory":
            assert sequence[2:] == [0, 0, 0, 0, 4, 0, 0]
            assert targets == [0] * 7 + memory
        else:
            assert sequence[2:] == [0, 0, 0, 0, 0, 4, 4]
            assert targets == [-1] * 7 + memory


def test_symbols_are_equally_likely():
    shown = draws("CopyMemory").inputs.argmax(axis=2)
    pairs = np.bincount(shown[:, 0] * 4 + shown[:, 1], minlength=16).reshape(4, 4)[1:, 1:]
    assert pairs.sum() == len(shown)
    assert_frequencies(pairs)


@pytest.mark.parametrize(
    "blanks, quoted", [(50, 0.2971), (100, 0.1733), (200, 0.0945), (500, 0.0400), (1000, 0.0204)]
)
def test_baseline_is_what_papers_quote(blanks, quoted):
    assert abs(CopyMemory(blanks + 20).baseline - quoted) < 5.1e-5
    assert abs(CopyMemory(blanks + 20, variant="gu").baseline - 2.0794) < 5.1e-5


def test_metric_counts_the_recalled_symbols_only():
    task = CopyMemory(9, symbols=3, recalled=2)
    targets = jnp.array([[0] * 7 + [1, 2]], jnp.int32)
    # Blanks all wrong, the first of the two symbols right.
    answers = np.array([3] * 7 + [1, 1])
    outputs = jnp.asarray(np.eye(4)[answers][None], jnp.result_type(float))
    assert float(jax.jit(task.metric)(outputs, targets)) == 0.5
    # Cross-entropy of logits 1, 0, 0, 0: wrong ones cost log(e + 3), right ones 1 less.
    np.testing.assert_allclose(
        jax.jit(task.loss)(outputs, targets), np.log(np.e + 3) - 1 / 9, rtol=1e-6
    )


@pytest.mark.parametrize("options", [{"symbols": 1}, {"recalled": 0}, {"length": 20}])
def test_impossible_sizes_are_refused(options):
    with pytest.raises(ValueError, match=f"expected `{next(iter(options))}` of at least"):
        CopyMemory(**options)
