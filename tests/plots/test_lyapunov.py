import numpy as np
import pytest

from . import fakes


@pytest.fixture
def plot_lyapunov():
    from vanishing_jax.plots import plot_lyapunov

    return plot_lyapunov


def test_exponents_with_error_bars_and_zero(plot_lyapunov):
    lyapunov = fakes.lyapunov(n=6, num_steps=16)
    ax = plot_lyapunov(lyapunov)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), lyapunov.exponents)
    assert list(ax.lines[0].get_xdata()) == [1, 2, 3, 4, 5, 6]
    assert len(ax.containers) == 1
    assert any(np.array_equal(line.get_ydata(), [0, 0]) for line in ax.lines)
    assert ax.get_ylabel() == r"exponent $\lambda_i$ (nats per step)"
    assert ax.get_title(loc="left") == "Lyapunov exponents over 16 steps"


def test_zeros_undefined_errors_and_nothing(plot_lyapunov):
    lyapunov = fakes.lyapunov()
    lyapunov.exponents[-2:] = -np.inf
    lyapunov.standard_error[:] = np.nan
    ax = plot_lyapunov(lyapunov)
    assert ax.texts[0].get_text() == "2 exact zeros drawn at the floor"
    assert len(ax.containers) == 0
    lyapunov.exponents[:] = np.nan
    assert "not finite" in [text.get_text() for text in plot_lyapunov(lyapunov).texts]
    assert plot_lyapunov(fakes.lyapunov(n=0)).texts[0].get_text() == "no data"
    one = plot_lyapunov(fakes.lyapunov(n=1, num_steps=1))
    assert one.get_title(loc="left") == "Lyapunov exponents over one step"
