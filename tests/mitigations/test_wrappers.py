"""The mitigations that put a cell into another one: what the wrapper does is tested with it."""

import jax
import pytest

from vanishing_jax import cells, mitigations


@pytest.mark.parametrize(
    "mitigation, kind, options",
    [
        (mitigations.truncate(7), cells.TruncatedCell, {"steps": 7}),
        (mitigations.leaky(0.3), cells.LeakyCell, {"rate": 0.3}),
        (mitigations.residual(0.2), cells.ResidualCell, {"scale": 0.2}),
        (
            mitigations.clip_state_gradient(0.5, by="value"),
            cells.ClippedGradientCell,
            {"threshold": 0.5, "by": "value"},
        ),
    ],
)
def test_wraps_the_cell(mitigation, kind, options):
    inside = cells.GRUCell(1, 2, key=jax.random.key(0))
    wrapped = mitigation.transform_cell(inside, key=jax.random.key(1))
    assert type(wrapped) is kind and wrapped.cell is inside
    assert {name: getattr(wrapped, name) for name in options} == options
