import json
import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import xarray as xr

import vanishing_jax as vj
from vanishing_jax import cells
from vanishing_jax.comparison import _compare
from vanishing_jax.studies.table import CAUSES, Cause, Context, Entry, _rules
from vanishing_jax.studies.table import _mitigation_table as module
from vanishing_jax.studies.table._grid import EFFECTS, rows_of, shortened
from vanishing_jax.studies.table._initial import largest_exponent, measure_initial

N, T = 3, 60


def linear(diagonal):
    cell = cells.VanillaCell(2, N, activation="identity", key=jr.key(0))
    return eqx.tree_at(lambda c: c.weight_hh, cell, jnp.diag(jnp.array(diagonal)))


def measured(cell):
    inputs = jr.normal(jr.key(1), (2, T, 2))
    return measure_initial(cell, inputs, inputs)


def test_a_linear_network_has_the_powers_of_its_weights():
    found = measured(linear([1.25, 0.5, 0.25]))
    assert found["exponent"] == pytest.approx(math.log(1.25), abs=1e-6)
    assert found["log10_gain"] == pytest.approx((T - 1) * math.log10(1.25), rel=1e-6)
    assert found["log10_condition"] == pytest.approx(50 * math.log10(5), rel=1e-6)
    assert found["saturated"] == 0


@pytest.mark.parametrize(
    "cell",
    [
        lambda: linear([1.25, 0.5, 0.0]),
        lambda: cells.LayerNormCell(
            cells.VanillaCell(2, N, key=jr.key(0))
        ),  # n - 2 directions left of n
    ],
)
def test_a_singular_product_has_no_condition_number(cell):
    found = measured(cell())
    assert found["log10_condition"] == math.inf and math.isfinite(found["log10_gain"])


def test_states_that_overflow_have_no_numbers():
    assert all(math.isnan(x) for x in measured(linear([1e30, 1.0, 1.0])).values())


@pytest.mark.slow
def test_batch_normalization_is_measured_by_the_statistics_of_its_batch():
    # Over a batch of one sequence, twice, every variance is 0: a gain of 1 / sqrt(epsilon) a step.
    plain = cells.VanillaCell(2, N, activation="identity", key=jr.key(0))
    plain = eqx.tree_at(lambda c: c.weight_hh, plain, jnp.eye(N))
    cell = cells.BatchNormCell(plain, num_steps=T, gain=1.0)
    inputs = jnp.tile(jr.normal(jr.key(1), (1, T, 2)), (2, 1, 1))
    found = measure_initial(cell, inputs, inputs)
    assert found["log10_gain"] == pytest.approx((T - 1) * 2.5, rel=1e-4)


def test_exponent_of_aligned_directions():
    rng = np.random.default_rng(0)
    orthogonal = np.linalg.qr(rng.normal(size=(40, N, N)))[0]
    assert largest_exponent(orthogonal) == pytest.approx(0, abs=1e-14)
    assert largest_exponent(np.zeros((4, N, N))) == -math.inf
    # Half of the chain aligns, half is measured: of the same law for Gaussian factors.
    chain = rng.normal(size=(4000, N, N)) / math.sqrt(N)
    whole = vj.lyapunov_exponents(vj.JacobianChain(chain), k=1)
    error = 4 * whole.standard_error[0]
    assert largest_exponent(chain) == pytest.approx(whole.exponents[0], abs=error)


def test_rows_are_the_claims_word_for_word_and_every_recipe_is_read():
    rows = rows_of(CAUSES, 50)
    assert [cause.effect for cause in CAUSES] == [
        "Exponential decay of gradients", "Longer chains of multiplication",
        "Gradients saturate/die early", "Unchecked vanishing/exploding",
    ]  # fmt: skip
    assert {row.length for row in rows} == {25, 50}
    assert {row.role for row in rows} == {"baseline", "unnormalized", "normalized"}
    normalizing = ("layernorm", "batchnorm", "skip", "leaky")  # row 2 counts skips among them
    for row in rows:
        assert row.role != "normalized" or any(part in row.recipe for part in normalizing)
    deep = [row for row in rows if row.cause.name == "Deep Architecture"]
    assert deep[0].context == "tanh+layers=3"
    few = rows_of(shortened(CAUSES), 20)
    assert len(few) == 4 * 5 and {row.context for row in few} < {
        r.context for r in rows_of(CAUSES, 20)
    }
    with pytest.raises(ValueError, match="rule of 'Deep Architecture' out of 'decay'.*got 'gone'"):
        rows_of((CAUSES[1]._replace(rule="gone"),), 50)


def numbers(gain, training=("memoryless", "memoryless")):
    """Return gains, and trainings given as the number of updates to the solution or in words."""
    solved = [not isinstance(one, str) for one in training]
    return {
        "log10_gain": gain,
        "steps_to_solve": [one if s else math.nan for one, s in zip(training, solved, strict=True)],
        "outcome": ["solved" if s else one for one, s in zip(training, solved, strict=True)],
    }


@pytest.mark.parametrize(
    "mine, verdict",
    [
        (numbers([1, -1], [90, 80]), ("confirmed", "better", "better")),
        (numbers([1, -1]), ("half", "better", "same")),
        (numbers([-9, -9], [90, 80]), ("half", "worse", "better")),
        (numbers([2.5, 1], [90, "improved"]), ("half", "same", "better")),
        (numbers([2.5, 1], [90, "memoryless"]), ("refuted", "same", "same")),
        (numbers([1, 1], ["diverged", "diverged"]), ("half", "better", "worse")),
        (numbers([math.nan, math.nan]), ("refuted", "worse", "same")),
        (numbers([-math.inf, 0]), ("refuted", "same", "same")),
    ],
)
def test_a_mitigation_helps_if_all_its_seeds_are_better(mine, verdict):
    assert _rules.of_mitigation(mine, numbers([-3, 2])) == verdict


@pytest.mark.parametrize(
    "rule, mine, verdict",
    [
        ("decay", {"exponent": [-0.1, -0.2]}, "confirmed"),
        ("decay", {"exponent": [-0.1, 0.2]}, "open"),
        ("decay", {"exponent": [0.0, math.nan]}, "refuted"),
        ("saturate or die", {"log10_gain": [-3.1, 9], "saturated": [0, 0.51]}, "confirmed"),
        ("saturate or die", {"log10_gain": [-2.9, 9], "saturated": [0.5, 0.5]}, "refuted"),
        ("uncontrolled", {"log10_gain": [-3.1, math.nan]}, "confirmed"),
        ("longer chain", {"log10_gain": [-2.1, 2.2]}, "confirmed"),
        ("longer chain", {"log10_gain": [-2.1, -1.9]}, "open"),
    ],
)
def test_an_effect_is_there_if_it_is_in_all_seeds(rule, mine, verdict):
    assert rule in EFFECTS
    mine = {"log10_gain": [0.0, 0.0], **mine}
    assert _rules.of_effect(rule, mine, numbers([-2, 1])).verdict == verdict


def test_outcomes_and_chances():
    nan = math.nan
    cases = [(5.0, 0.01, nan), (nan, 0.5, nan), (nan, 0.95, nan), (nan, nan, nan), (nan, 0.5, 3.0)]
    names = [_rules.outcome(*case, 1.0) for case in cases]
    assert names == ["solved", "improved", "memoryless", "memoryless", "diverged"]
    assert "one case in 20." in _rules.rules(3)["better"].replace("20. Of", "20.")
    with pytest.raises(ValueError, match="'longer chain' with a reference"):
        _rules.of_effect("longer chain", numbers([1]), None)


GRID = (
    Cause(
        "Steps", "more of them", "fewer", "none", "longer chain",
        (Context(Entry("tanh+sgd", 2.0), (Entry("tanh+sgd+lr=0.2", 2.0),), ()),
         Context("tanh+sgd+lr=0.2", ("tanh+sgd", ), ())),
        reference="tanh+sgd",
    ),
)  # fmt: skip
SETTINGS: dict[str, Any] = dict(
    length=6, hidden_size=3, steps=3, seeds=2, batch_size=4, num_sequences=2, progress=False,
    key=jr.key(3),
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("table")


@pytest.fixture(scope="module")
def table(folder):
    return vj.mitigation_table(GRID, out=folder, **SETTINGS)


@pytest.mark.slow
def test_each_place_has_the_numbers_of_its_network(table, folder):
    assert dict(table.sizes) == {"row": 4, "seed": 2}
    assert table.length.values.tolist() == [12, 12, 6, 6]
    assert table.role.values.tolist() == ["baseline", "unnormalized"] * 2
    assert table.context.values.tolist() == ["tanh+sgd, T = 12"] * 2 + ["tanh+sgd+lr=0.2"] * 2
    run = xr.load_dataset(folder / "T12" / "tanh+sgd" / "seed_1.nc", engine="h5netcdf")
    place = table.isel(row=0, seed=1)
    assert place.best_loss == run.loss.min() and place.test_loss == run.test_loss.item()
    # Recipes that differ in the optimizer start as the same network.
    np.testing.assert_array_equal(table.exponent[0], table.exponent[1])
    model, *_ = module.built(
        vj.recipes.parse("tanh"),
        vj.tasks.named("adding", length=6),
        3,
        None,
        jr.fold_in(jr.key(3), 1),
    )
    assert np.ptp(table.exponent.values[0]) > 0 and model.cell.hidden_size == 3
    assert table.verdict.values[1] != "confirmed" and table.gradient.values[1] == "same"
    reference = np.abs(table.log10_gain.values[3])
    longer = np.abs(table.log10_gain.values[0]) > reference.max()
    assert table.verdict.values[0] == {2: "confirmed", 1: "open", 0: "refuted"}[longer.sum()]
    assert json.loads(table.attrs["effects"]) == EFFECTS


@pytest.mark.slow
def test_finished_runs_are_found_again(table, folder, monkeypatch):
    def fail(*arguments):
        raise AssertionError("computed again")

    monkeypatch.setattr(module, "measure_initial", fail)
    monkeypatch.setattr(_compare, "train_seeds", fail)
    again = vj.mitigation_table(GRID, out=folder, **SETTINGS)
    xr.testing.assert_equal(again, table)
    (folder / "T6" / "tanh+sgd" / "initial.json").write_text("half")
    with pytest.raises(AssertionError, match="computed again"):
        vj.mitigation_table(GRID, out=folder, **SETTINGS)


@pytest.mark.slow
def test_an_interrupt_is_one(table, folder, monkeypatch):
    monkeypatch.setattr(module, "compare", lambda *a, **k: xr.Dataset(attrs={"interrupted": 1}))
    monkeypatch.setattr(module, "measure_initial", lambda *a: dict.fromkeys(module.QUANTITIES, 0.0))
    with pytest.raises(KeyboardInterrupt):
        vj.mitigation_table(GRID, **SETTINGS)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="`seeds` of at least 1"):
        vj.mitigation_table(GRID, **{**SETTINGS, "seeds": 0})
    with pytest.raises(TypeError, match="length of its data"):
        vj.mitigation_table(GRID, task="digits", **SETTINGS)
