import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from vanishing_jax import cells

KEYS = jax.random.split(jax.random.key(0), 3)


def varied(cell):
    """Return the cell with other numbers in every array, so that none is what a new one has."""
    return jax.tree.map(lambda leaf: leaf + jnp.asarray(0.25, leaf.dtype), cell)


CELLS = {
    "tanh": lambda: cells.VanillaCell(3, 4, key=KEYS[0]),
    "relu without bias": lambda: cells.VanillaCell(
        3, 4, activation="relu", bias_initializer=None, key=KEYS[0]
    ),
    "lstm": lambda: cells.LSTMCell(3, 4, forget_bias=2.0, key=KEYS[0]),
    "gru": lambda: cells.GRUCell(3, 4, dtype=jnp.float32, key=KEYS[0]),
    "clipped gru": lambda: cells.GRUCell(3, 4, clip=2.5, key=KEYS[0]),
    "reset before": lambda: cells.ResetBeforeGRUCell(3, 4, clip=2.5, key=KEYS[0]),
    "mgu": lambda: cells.MGUCell(3, 4, key=KEYS[0]),
    "peephole": lambda: varied(cells.PeepholeLSTMCell(3, 4, key=KEYS[0])),
    "coupled": lambda: cells.PeepholeLSTMCell(
        3, 4, peepholes=False, coupled=True, clip=1.5, key=KEYS[0]
    ),
    "half": lambda: cells.GRUCell(3, 4, dtype=jnp.float16, key=KEYS[0]),
    "bfloat16": lambda: cells.LSTMCell(3, 4, dtype=jnp.bfloat16, key=KEYS[0]),
    "lru": lambda: cells.LRUCell(3, 4, r_min=0.5, r_max=0.9, key=KEYS[0]),
    "s4d": lambda: cells.S4DCell(2, 3, discretization="bilinear", key=KEYS[0]),
    "selective": lambda: cells.SelectiveCell(2, 3, dtype=jnp.float32, key=KEYS[0]),
    "minimal": lambda: cells.StackedCell(
        [cells.MinGRUCell(3, 4, key=KEYS[0]), cells.MinLSTMCell(4, 2, key=KEYS[1])]
    ),
    "leaky": lambda: cells.LeakyCell(cells.GRUCell(3, 4, key=KEYS[0]), 0.3),
    "layer normalization, plain": lambda: cells.LayerNormCell(cells.VanillaCell(3, 4, key=KEYS[0])),
    "layer normalization": lambda: varied(
        cells.LayerNormCell(cells.LSTMCell(3, 4, key=KEYS[0]), placement="separate", epsilon=1e-3)
    ),
    "batch normalization": lambda: varied(
        cells.BatchNormCell(cells.LSTMCell(3, 4, key=KEYS[0]), num_steps=5, epsilon=1e-3)
    ),
    "batch normalization of the input": lambda: varied(
        cells.BatchNormCell(cells.GRUCell(3, 4, key=KEYS[0]), num_steps=2, placement="input")
    ),
    "wrapped and stacked": lambda: cells.TruncatedCell(
        cells.StackedCell(
            [
                cells.ClippedGradientCell(cells.VanillaCell(3, 2, key=KEYS[0]), 0.1, by="value"),
                cells.ResidualCell(
                    varied(cells.LayerNormCell(cells.VanillaCell(2, 2, key=KEYS[1]))), 0.5
                ),
            ]
        ),
        7,
    ),
    "both directions": lambda: cells.BidirectionalCell(
        varied(cells.ProjectedLSTMCell(3, 4, 2, key=KEYS[0])),
        cells.MaskedCell(cells.GRUCell(3, 2, key=KEYS[1])),
    ),
    "residual stack": lambda: cells.StackedCell(
        [cells.VanillaCell(3, 2, key=KEYS[0]), cells.GRUCell(2, 2, key=KEYS[1])], residual=True
    ),
    "stack": lambda: cells.StackedCell(
        [
            cells.LSTMCell(3, 4, key=KEYS[0]),
            cells.StackedCell(
                [
                    cells.GRUCell(4, 2, key=KEYS[1]),
                    cells.VanillaCell(2, 2, activation="sigmoid", key=KEYS[2]),
                ]
            ),
        ]
    ),
}


@pytest.mark.parametrize("name", CELLS)
def test_round_trip(name, tmp_path):
    cell, path = CELLS[name](), tmp_path / "cell.safetensors"
    cells.save_cell(path, cell)
    loaded = cells.load_cell(str(path))
    assert jax.tree.structure(loaded) == jax.tree.structure(cell)  # static fields included
    assert eqx.tree_equal(loaded, cell)
    assert list(tmp_path.iterdir()) == [path]


def test_save_replaces_whole_files_only(tmp_path, monkeypatch):
    path = tmp_path / "cell.safetensors"
    cells.save_cell(path, CELLS["tanh"]())

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        cells.save_cell(path, CELLS["lstm"]())
    monkeypatch.undo()
    assert isinstance(cells.load_cell(path), cells.VanillaCell)
    assert list(tmp_path.iterdir()) == [path]


def test_cells_that_cannot_be_saved(tmp_path):
    path = tmp_path / "cell.safetensors"
    with pytest.raises(ValueError, match="function of your own as activation"):
        cells.save_cell(path, cells.VanillaCell(1, 2, activation=jnp.sin, key=KEYS[0]))
    unknown = cells.FunctionCell(lambda p, s, x: s, ())
    with pytest.raises(TypeError, match="out of .* VanillaCell; got FunctionCell. Save the arrays"):
        cells.save_cell(path, unknown)
    with pytest.raises(TypeError, match=r"got FunctionCell inside it \(at cells.0.cell\)"):
        cells.save_cell(path, cells.StackedCell([cells.LeakyCell(unknown, 0.5)]))
    assert not path.exists()


def _rewritten(path, change_tensors=None, what="gru", **header):
    """Save a cell, then write the file anew with changes."""
    cells.save_cell(path, CELLS[what]())
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    if change_tensors is not None:
        change_tensors(tensors)
    safetensors.numpy.save_file(tensors, path, metadata={**metadata, **header})


NORMALIZED = {"what": "layer normalization, plain"}


def _shorten(tensors):
    tensors["norms.sum.weight"] = tensors["norms.sum.weight"][:3].copy()


def _set_nan(tensors):
    tensors["bias"] = tensors["bias"] * np.float32("nan")


@pytest.mark.parametrize(
    "change, header, message",
    [
        (lambda t: t.pop("bias_n"), {}, "tensors .'bias_n'. are missing"),
        (lambda t: t.update(extra=t["bias"]), {}, "no cell claims: .'extra'."),
        (lambda t: t.update(bias=t["bias_n"]), {}, r"bias must have shape \(12,\); got \(4,\)"),
        (_set_nan, {}, "tensor 'bias' of .*cell.safetensors holds 12 NaN"),
        (lambda t: t.pop("norms.sum.weight"), NORMALIZED, "'norms.sum.weight'. are missing"),
        (_shorten, NORMALIZED, r"norms.sum.weight must have shape \(4,\); got \(3,\)"),
        (None, {"format": "pt"}, "was not written by save_cell .*load_torch"),
        (None, {"version": "2"}, "has version '2'"),
        (None, {"cell": "{}"}, "does not describe a cell"),
        (None, {"cell": "not json"}, "does not describe a cell"),
        (None, {"cell": '{"type": "Evil"}'}, "unknown type 'Evil'"),
    ],
)
def test_changed_files_raise(change, header, message, tmp_path):
    path = tmp_path / "cell.safetensors"
    _rewritten(path, change, **header)
    with pytest.raises(ValueError, match=message) as error:
        cells.load_cell(path)
    assert "cell.safetensors" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"junk" * 100, None])
def test_broken_files_raise(content, tmp_path):
    path = tmp_path / "cell.safetensors"
    cells.save_cell(path, CELLS["lstm"]())
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    with pytest.raises(ValueError, match="cell.safetensors is not a complete safetensors file"):
        cells.load_cell(path)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl"])
def test_pickles_are_refused(suffix, tmp_path):
    with pytest.raises(ValueError, match="never opened here. Convert it"):
        cells.load_cell(tmp_path / f"model{suffix}")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        cells.load_cell(tmp_path / "nothing.safetensors")


@pytest.mark.as_users
def test_float64_follows_the_setting(tmp_path):
    path = tmp_path / "cell.safetensors"
    with jax.enable_x64(True):
        cells.save_cell(path, cells.GRUCell(1, 2, dtype=jnp.float64, key=KEYS[0]))
    cell = cells.load_cell(path)
    assert isinstance(cell, cells.GRUCell)
    assert cell.weight_hh.dtype == jnp.result_type(float)
