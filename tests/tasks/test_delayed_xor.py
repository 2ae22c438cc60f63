import numpy as np
import pytest

from vanishing_jax.tasks import DelayedXor

from .draws import FEW, draws


@pytest.mark.parametrize("name", ["DelayedXor", "DelayedXor, copy"])
def test_targets_follow_from_the_inputs(name):
    drawn = draws(name)
    delay = 2
    for bits, targets in zip(drawn.inputs[:FEW, :, 0], drawn.targets[:FEW], strict=True):
        assert set(bits) <= {0, 1}
        for t, target in enumerate(targets):
            if name == "DelayedXor":
                known = t >= 2 * delay
                expected = abs(bits[t - delay] - bits[t - 2 * delay]) if known else -1
            else:
                expected = bits[t - delay] if t >= delay else -1
            assert target == expected


def test_bits_are_fair():
    bits = draws("DelayedXor").inputs
    assert abs(bits.mean() - 0.5) < 5 * 0.5 / np.sqrt(bits.size)


def test_room_for_the_delay_is_asked_for():
    with pytest.raises(ValueError, match="`delay` of at least 1"):
        DelayedXor(delay=0)
    with pytest.raises(ValueError, match="`length` of at least 21, .*; got 20"):
        DelayedXor(20, delay=10)
    assert DelayedXor(11, delay=10, variant="copy").name == "delayed copy"
