import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from vanishing_jax.studies.table._content import condition, fate, spread
from vanishing_jax.studies.table._data import _number, read_table, table_data
from vanishing_jax.studies.table._grid import CAUSES, EFFECTS, rows_of
from vanishing_jax.studies.table._mitigation_table import _dataset, _Plan
from vanishing_jax.studies.table._pages import (
    mitigation_html,
    mitigation_markdown,
    write_mitigation_table,
)
from vanishing_jax.studies.table._strip import WIDTH, position

UNPLEASANT = "Deep <script>alert(1)</script> & $x_1"


def fake(causes=CAUSES, seeds=3):
    """Return a table of random numbers, with every kind of oddity among them."""
    import jax.random as jr

    rng = np.random.default_rng(0)
    plan = _Plan("adding", 32, 100, seeds, 32, 4, 0.1, jr.key(0))
    rows = rows_of(causes, 50)
    found = {}
    for i, network in enumerate(
        [(row.recipe, row.length) for row in rows] + [("tanh", 25)]  # the reference
    ):
        gains = rng.normal(size=seeds) * 10 ** rng.uniform(-1, 1.5)
        conditions = rng.uniform(1, 100, seeds)
        steps, outcomes = np.full(seeds, math.nan), ["memoryless"] * seeds
        if i % 5 == 1:
            gains[0] = -math.inf
        if i % 5 == 2:
            conditions[:] = math.inf
        if i % 5 == 3:
            steps, outcomes = rng.integers(1, 100, seeds).astype(float), ["solved"] * seeds
        if i % 5 == 4:
            gains[:], outcomes[0] = math.nan, "diverged"
        found[network] = {
            "exponent": gains / 50,
            "log10_gain": gains,
            "log10_condition": conditions,
            "saturated": rng.uniform(size=seeds),
            "steps_to_solve": steps,
            "outcome": outcomes,
            **{
                name: np.ones(seeds)
                for name in ("best_loss", "test_loss", "test_metric", "nonfinite_step")
            },
        }
    return _dataset(rows, found, 50, plan)


@pytest.fixture(scope="module")
def table():
    return fake((*CAUSES[:1], CAUSES[1]._replace(name=UNPLEASANT), *CAUSES[2:]))


def test_cells_say_what_all_seeds_did():
    nan, inf = math.nan, math.inf
    assert spread(_number(np.array([1.0, 2.0, 3.0])), 1) == "+2.0 ± 0.6"
    assert spread(_number(np.array([nan, -inf, 3.0])), 1) == "overflow 1/3, -∞ 1/3, else +3.0"
    assert spread(_number(np.array([-0.5])), 2) == "-0.50 ± nan"
    assert condition(np.array([1.0, 2.0])) == "1.5"
    assert condition(np.array([inf, inf])) == "∞ (2/2)"
    assert condition(np.array([inf, 4.0])) == "∞ (1/2), else 4.0"
    assert condition(np.array([nan, nan])) == "overflow"
    outcomes = ["solved", "diverged", "solved", "improved", "memoryless"]
    steps = np.array([30.0, nan, 10.0, nan, nan])
    assert fate(outcomes, steps) == "2/5: 20 [10, 30], 1 memoryless, 1 improved, 1 diverged"
    assert fate(["memoryless"] * 2, np.full(2, nan)) == "0/2, 2 memoryless"


def test_positions_are_in_order_and_inside():
    decades = [-math.inf, -500, -100, -3, -1, -0.1, 0, 0.1, 1, 3, 100, 500, math.inf, math.nan]
    places = [position(float(x)) for x in decades]
    assert places == sorted(places) and places[6] == WIDTH / 2
    assert places[0] == places[2] > 0 and places[-1] == places[-4] < WIDTH


def test_markdown_has_every_network_in_its_place(table):
    text = mitigation_markdown(table_data(table))
    lines = text.splitlines()
    networks = [line for line in lines if line.startswith("| `")]
    assert len(networks) == table.sizes["row"]
    for line, row in zip(networks, range(table.sizes["row"]), strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        one = table.isel(row=row)
        assert cells[0].startswith(f"`{one.recipe.item()}")
        assert cells[-1].split()[-1] == one.verdict.item()
        assert cells[-3:-1] == [one.gradient.item(), one.training.item()]
    heads = [line for line in lines if line.startswith("## ")]
    assert heads == [f"## {name}" for name in dict.fromkeys(table.cause.values.tolist())]
    for rule in [*json.loads(table.attrs["rules"]).values(), *EFFECTS.values()]:
        assert rule in text
    counts = re.search(r"Mitigations: (\d+) confirmed, (\d+) half, (\d+) refuted.", text)
    assert counts and sum(map(int, counts.groups())) == (table.role.values != "baseline").sum()
    assert "one case in 20" in text


def test_compact_markdown_has_one_line_per_baseline_network(table):
    text = mitigation_markdown(table_data(table), compact=True)
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(lines) == (table.role.values == "baseline").sum() == 7
    assert sum(len(re.findall("` ./3", line)) for line in lines) == table.sizes["row"]
    assert "Exponential decay of gradients" in lines[0] and "`+layernorm`" in lines[0]


def test_html_is_complete_and_escaped(table):
    html = mitigation_html(table_data(table))
    assert "<script" not in html and "Deep &lt;script&gt;" in html
    assert not re.search(r"(src|href)=\"(?!data:)", html)
    assert html.count('<svg class="strip"') == table.sizes["row"]
    assert html.count("<circle") == table.sizes["row"] * table.sizes["seed"]
    for text in ("Switch to ReLU/LSTM/GRU", "Normalization + Good Init", "one case in 20"):
        assert text in html


def test_files_are_written_whole(table, tmp_path, monkeypatch):
    paths = write_mitigation_table(tmp_path / "deep", table)
    assert [path.name for path in paths] == ["table.nc", "table.json", "table.md", "table.html"]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(p.name for p in paths)
    again = xr.load_dataset(paths[0], engine="h5netcdf")
    xr.testing.assert_equal(again, table)
    for data in (table_data(table), table_data(again), read_table(paths[1])):
        assert mitigation_markdown(data) == Path(paths[2]).read_text()
        assert mitigation_html(data) == Path(paths[3]).read_text()
    assert write_mitigation_table(tmp_path, again)[1].read_text() == paths[1].read_text()


def test_data_are_complete_and_plain(table, tmp_path):
    data = json.loads(write_mitigation_table(tmp_path, table)[1].read_text())
    assert data["settings"]["seeds"] == table.sizes["seed"]
    assert len(data["rows"]) == table.sizes["row"]
    assert {row["rule"] for row in data["rows"]} <= set(data["effects"])
    numbers = {name for name, one in table.items() if one.dtype.kind == "f"}
    assert set(data["quantities"]) == numbers
    for i, row in enumerate(data["rows"]):
        assert set(row["numbers"]) == numbers
        gains = np.array(row["numbers"]["log10_gain"]["by_seed"], float)  # reads "nan", too
        np.testing.assert_array_equal(gains, table.log10_gain.values[i])
        assert row["solved"] == row["outcome"].count("solved")
