import re

import equinox as eqx
import numpy as np
import pytest

from vanishing_jax.cli._main import Selftest

NUM_CHECKS = 27


class Engine:
    """Both functions of the engine: recorded in the first run, played back spoiled in others."""

    def __init__(self, selftest):
        self.real = {n: getattr(selftest, n) for n in ("log_singular_values", "lyapunov_exponents")}
        self.results = {name: [] for name in self.real}

    def recording(self, name):
        def call(chain, **options):
            result = self.real[name](chain, **options)
            self.results[name].append((options, result))
            return result

        return call

    def playback(self, name, spoil):
        results = iter(self.results[name])
        field = "exponents" if name == "lyapunov_exponents" else name

        def call(chain, **options):
            recorded, result = next(results)
            assert recorded == options
            spoiled = spoil(getattr(result, field), **options)
            return eqx.tree_at(lambda r: getattr(r, field), result, spoiled)

        return call


@pytest.fixture(scope="module")
def selftest():
    import vanishing_jax.cli._selftest as module

    return module


@pytest.fixture(scope="module")
def first_run(selftest):
    """Return the engine's record, the exit code and what a run with the true engine printed."""
    import contextlib
    import io

    engine, printed = Engine(selftest), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        for name in engine.real:
            patch.setattr(selftest, name, engine.recording(name))
        code = selftest.run(Selftest())
    return engine, code, printed.getvalue()


def rerun(selftest, first_run, monkeypatch, capsys, spoil):
    """Run again with every result of the engine spoiled; return the exit code and the lines."""
    engine, _, _ = first_run
    for name in engine.real:
        monkeypatch.setattr(selftest, name, engine.playback(name, spoil))
    code = selftest.run(Selftest())
    return code, capsys.readouterr().out.splitlines()


def test_everything_holds_and_the_exit_code_says_so(first_run):
    _, code, printed = first_run
    assert code == 0 and "FAILED" not in printed
    assert re.search(
        rf"^{NUM_CHECKS} of {NUM_CHECKS} checks hold \(\d+ s, seed 0\)$", printed, re.M
    )


def test_tables(first_run):
    lines = first_run[2].splitlines()
    assert lines[0].split() == ["law", "measured", "expected", "deviation", "allowed", "unit"]
    laws, products = lines[1:16], lines[19:31]
    assert lines[16] == "" and lines[17].startswith("Products of 40 Jacobians of size 6")
    for line in laws:
        *_, measured, expected, deviation, allowed, unit, mark = line.split()
        assert mark == "ok" and unit in ("nats", "std", "rel")
        assert float(deviation) <= float(allowed)
        assert np.isfinite([float(measured), float(expected)]).all()
    for line in products:
        *_, largest, smallest, zeros, error, allowed, mark = line.split()
        assert mark == "ok" and float(error) <= float(allowed) and float(largest) >= float(smallest)
        assert (int(zeros) > 0) == line.startswith("ReLU")
    # Columns are aligned: every result starts where the others do.
    assert len({line.rindex("ok") for line in laws}) == 1
    assert len({line.rindex("ok") for line in products}) == 1


def shifted(values, direction="forward"):
    return values + (0.3 if direction == "forward" else -0.3)


def missing(values, **_):
    return np.full_like(values, np.nan)


@pytest.mark.parametrize("spoil", [shifted, missing])
def test_no_check_holds_for_a_wrong_engine(selftest, first_run, monkeypatch, capsys, spoil):
    code, lines = rerun(selftest, first_run, monkeypatch, capsys, spoil)
    assert code == 1 and lines[-1].startswith(f"0 of {NUM_CHECKS} checks hold")
    assert sum(line.endswith("FAILED") for line in lines) == NUM_CHECKS


def test_an_error_in_one_law_fails_that_one_only(selftest, first_run, monkeypatch, capsys):
    right = selftest.ginibre_exponents

    def wrong(n, *, variance, beta=1):
        return np.zeros(n) if beta == 1 else right(n, variance=variance, beta=beta)

    monkeypatch.setattr(selftest, "ginibre_exponents", wrong)
    code, lines = rerun(selftest, first_run, monkeypatch, capsys, lambda values, **_: values)
    assert code == 1 and lines[-1].startswith(f"{NUM_CHECKS - 1} of {NUM_CHECKS} checks hold")
    assert [line for line in lines if line.endswith("FAILED")][0].startswith("real Ginibre")


@pytest.mark.parametrize("family", ["LSTM", "ReLU, exact zeros", "triangular, ascending"])
def test_exact_integers_catch_plausible_mistakes(selftest, first_run, monkeypatch, family):
    from vanishing_jax import JacobianChain, log_singular_values

    def reversed_in_time(chain):
        return log_singular_values(JacobianChain(chain.jacobians[::-1]))

    def product_formed(chain):
        result = log_singular_values(chain)
        product = np.linalg.multi_dot(chain.jacobians[::-1])
        with np.errstate(divide="ignore"):
            naive = np.log(np.linalg.svd(product, compute_uv=False))
        return eqx.tree_at(lambda r: r.log_singular_values, result, naive)

    for mistake in (reversed_in_time, product_formed):
        monkeypatch.setattr(selftest, "log_singular_values", mistake)
        accuracy = selftest._accuracy(family, np.random.default_rng(0))
        assert not accuracy.passed or (mistake, family) == (product_formed, "triangular, ascending")


def test_progress_is_silent_where_nobody_watches(first_run, selftest, monkeypatch, capsys):
    rerun(selftest, first_run, monkeypatch, capsys, lambda values, **_: values)
    assert capsys.readouterr().err == ""
