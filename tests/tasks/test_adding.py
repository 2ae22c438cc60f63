import numpy as np
import pytest

from vanishing_jax.tasks import Adding

from .draws import assert_frequencies, draws, of_class

HALF = {"Adding": 5, "Multiplication": 3}


def marked(inputs, length):
    """Return the steps whose marker is 1, found one by one."""
    return [t for t in range(length) if inputs[t, 1] == 1]


def answer(name, numbers):
    """Return the target for the marked numbers, as the papers define it."""
    if name.startswith("Multiplication"):
        return np.prod(numbers)
    total = sum(numbers)
    if "pascanu" in name:
        return total / 2
    return 0.5 + total / 4 if "hochreiter" in name else total


@pytest.mark.parametrize("name", of_class("Adding", "Multiplication"))
def test_targets_follow_from_the_inputs(name):
    drawn = draws(name)
    neutral = 1.0 if name.startswith("Multiplication") else 0.0
    for inputs, target, length in drawn.first():
        steps = marked(inputs, length)
        numbers = [inputs[t, 0] for t in steps]
        others = [inputs[t, 1] for t in range(length) if t not in steps]
        if "hochreiter" in name:
            assert inputs[0, 1] == inputs[length - 1, 1] == others[0] == others[-1] == -1
            others = others[1:-1]
            if len(steps) == 1:  # the other marked one is the first
                assert inputs[0, 0] == neutral
                numbers.append(neutral)
        assert len(numbers) == 2 and not any(others) and not inputs[length:].any()
        assert abs(target - answer(name, numbers)) < 1e-6


@pytest.mark.parametrize("name", of_class("Adding", "Multiplication"))
def test_numbers_are_uniform(name):
    drawn = draws(name)
    low = -1 if name == "Adding, hochreiter" else 0
    numbers = drawn.inputs[:, 1:6, 0].ravel()
    assert low <= numbers.min() < low + 0.01 and 0.99 < numbers.max() < 1
    share = np.histogram(numbers, bins=10, range=(low, 1))[0] / len(numbers)
    np.testing.assert_allclose(share, 0.1, atol=5 * np.sqrt(0.09 / len(numbers)))


@pytest.mark.parametrize("name", ["Adding", "Multiplication"])
def test_one_marker_in_each_half(name):
    drawn = draws(name)
    counts = (drawn.inputs[:, :, 1] == 1).sum(axis=0)
    assert_frequencies(counts, np.full(drawn.task.length, len(drawn.inputs) / HALF[name]))
    np.testing.assert_array_equal(drawn.inputs[:, : HALF[name], 1].sum(axis=1), 1)


def test_bai_marks_any_two():
    markers = draws("Adding, bai").inputs[:, :, 1]
    pairs = markers.T @ markers
    assert_frequencies(pairs[np.triu_indices(10, 1)], np.full(45, len(markers) / 45))


def test_pascanu_marks_by_the_length_of_each_sequence():
    drawn = draws("Adding, pascanu")
    lengths, counts = np.unique(drawn.lengths, return_counts=True)
    np.testing.assert_array_equal(lengths, [20, 21, 22])
    assert_frequencies(counts, np.full(3, len(drawn.inputs) / 3))
    for length, count in zip(lengths, counts, strict=True):
        marks = (drawn.inputs[drawn.lengths == length, :, 1] == 1).sum(axis=0)
        half = length // 2
        expected = [count / 2] * 2 + [count / (half - 2)] * (half - 2) + [0] * (22 - half)
        assert_frequencies(marks, expected)


@pytest.mark.parametrize("name", ["Adding, hochreiter", "Multiplication, hochreiter"])
def test_hochreiter_marks_among_the_first_ten_and_the_first_half(name):
    drawn = draws(name)
    assert set(drawn.lengths) == {26, 27, 28}
    marks = (drawn.inputs[:, :, 1] == 1).sum(axis=0)
    # First among 10; second among the other 11 of the first 26 / 2 - 1 = 12.
    expected = [0, *[0.1 + 0.9 / 11] * 9, 1 / 11, 1 / 11, *[0] * 16]
    assert_frequencies(marks, len(drawn.inputs) * np.array(expected))


@pytest.mark.parametrize(
    "variant, quoted", [("le", 1 / 6), ("bai", 1 / 6), ("pascanu", 1 / 24), ("hochreiter", 1 / 24)]
)
def test_baseline_approaches_what_papers_quote(variant, quoted):
    # All that remains at T = 10,000 is the number that is 0 when it comes first, in one of ten.
    expected = quoted * (0.95 if variant == "hochreiter" else 1)
    np.testing.assert_allclose(Adding(10_000, variant=variant).baseline, expected, rtol=2e-4)


@pytest.mark.parametrize("name, close", [("Adding", 0.04), ("Adding, pascanu", 0.2)])
def test_metric_counts_what_is_close_enough(name, close):
    drawn = draws(name)
    targets = drawn.batches[1]
    values = getattr(targets, "values", targets)
    off = np.where(np.arange(values.shape[1]) % 4 == 0, 1.01 * close, 0.99 * close)
    outputs = (values[0] + off)[:, None]
    one = type(targets)(values[0], targets.length[0]) if values is not targets else targets[0]
    np.testing.assert_allclose(drawn.task.metric(outputs, one), 0.75, rtol=1e-6)
    assert drawn.task.metric_name == f"share within {close}"
