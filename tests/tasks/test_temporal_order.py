import numpy as np
import pytest

from vanishing_jax.tasks import TemporalOrder

from .draws import assert_frequencies, draws, of_class

# Where events lie, first and last step, written out for the lengths of the table.
MOMENTS = {
    "TemporalOrder": [(2, 3), (10, 11)],
    "TemporalOrder, 3-bit": [(2, 3), (6, 7), (12, 13)],
    "TemporalOrder, hochreiter": [(2, 4), (10, 12)],
}


@pytest.mark.parametrize("name", of_class("TemporalOrder"))
def test_targets_follow_from_the_inputs(name):
    drawn = draws(name)
    moments = MOMENTS[name]
    for inputs, target, length in drawn.first():
        assert (inputs[:length].sum(axis=1) == 1).all() and not inputs[length:].any()
        symbols = inputs[:length].argmax(axis=1)
        events = [t for t in range(length) if symbols[t] < 2]
        assert len(events) == len(moments)
        label = 0
        for t, (start, stop) in zip(events, moments, strict=True):
            assert start <= t <= stop
            label = 2 * label + symbols[t]
        assert target == label
        if "hochreiter" in name:
            assert symbols[0] == 6 and symbols[-1] == 7
            symbols = symbols[1:-1]
        assert symbols.max() < 6


@pytest.mark.parametrize("name", of_class("TemporalOrder"))
def test_classes_moments_and_distractors_are_equally_likely(name):
    drawn = draws(name)
    total = len(drawn.targets)

    assert_frequencies(np.bincount(drawn.targets, minlength=drawn.task.output_size))
    for start, stop in MOMENTS[name]:
        counts = drawn.inputs[:, start : stop + 1, :2].sum(axis=(0, 2))
        assert counts.sum() == total
        assert_frequencies(counts)
    assert_frequencies(drawn.inputs[:, 8, 2:6].sum(axis=0))
    if "hochreiter" in name:
        assert set(drawn.lengths) == {20, 21, 22}


@pytest.mark.parametrize("events", [1, 4])
def test_other_numbers_of_events_are_refused(events):
    with pytest.raises(ValueError, match=f"`events` to be 2 or 3; got {events}"):
        TemporalOrder(events=events)


def test_names_and_baselines():
    assert TemporalOrder(50).name == "temporal order"
    three = TemporalOrder(50, events=3, variant="hochreiter")
    assert three.name == "3-bit temporal order hochreiter"
    np.testing.assert_allclose([TemporalOrder(50).baseline, three.baseline], np.log([4, 8]))
