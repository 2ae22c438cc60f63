"""`vanishing-jax demo`: real data, two networks, four diagnoses, one report."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.random as jr
import optax

from .. import cells, tasks
from ..diagnostics import Diagnosis, diagnose
from ..report import save_figures, write_report
from ..report._figures import drawn_once
from ..training import SequenceModel, readout_loss, train
from ._output import INTERRUPTED, in_columns

if TYPE_CHECKING:
    from ._main import Demo

_HIDDEN = 32
_BATCH = 64
_HELD_OUT = 64  # sequences diagnosed


def _tanh(key):
    return cells.VanillaCell(1, _HIDDEN, key=key)  # Glorot initialization, the article's network


def _lstm(key):
    return cells.LSTMCell(1, _HIDDEN, forget_bias=1.0, key=key)


_NETWORKS = {"tanh RNN (Glorot)": _tanh, "LSTM (forget bias 1)": _lstm}
_OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(2e-3))


class Row(NamedTuple):
    """One diagnosis: which network, before or after training, and how well it classifies."""

    network: str
    stage: str
    accuracy: float
    diagnosis: Diagnosis


@drawn_once()
def run(command: "Demo") -> int:
    """Run the demo; what is finished when it is interrupted is on disk. Return the exit code."""
    out, steps, seed = command.out, command.steps, command.seed
    begin = time.monotonic()
    task = tasks.digits()
    print(
        f"Digits as {task.length}-step pixel sequences; two networks of {_HIDDEN} units, {steps} "
        f"updates each; {_HELD_OUT} held-out sequences diagnosed before and after."
    )
    rows: list[Row] = []
    code = 0
    try:
        for row in _stages(task, steps, seed):
            rows.append(row)
            _report(rows, out, steps, seed)
    except KeyboardInterrupt:
        print(f"\ninterrupted; {len(rows)} of {2 * len(_NETWORKS)} diagnoses finished")
        code = INTERRUPTED
    if rows:
        _summarize(rows, out)
        print(f"\nreport: {out / 'report.html'}   ({time.monotonic() - begin:.0f} s)")
    return code


def _stages(task, steps: int, seed: int) -> Iterator[Row]:
    """Yield the diagnoses of each network before and after training."""
    key_model, key_data = jr.split(jr.key(seed))
    for index, (name, make_cell) in enumerate(_NETWORKS.items()):
        key_cell, key_readout = jr.split(jr.fold_in(key_model, index))
        model = SequenceModel(make_cell(key_cell), task.output_size, key=key_readout)
        yield _diagnosed(name, "before", model, task)
        print(f"{name}: training")
        model, history = train(
            model, task, steps=steps, batch_size=_BATCH, optimizer=_OPTIMIZER, key=key_data
        )
        if history.interrupted:
            raise KeyboardInterrupt
        yield _diagnosed(name, "after", model, task)


def _diagnosed(name, stage, model, task) -> Row:
    print(f"{name}: diagnosing {stage} training")
    inputs, targets = (x[:_HELD_OUT] for x in task.test)
    diagnosis = diagnose(model.cell, inputs, loss=readout_loss(model, task, targets))
    outputs = jax.vmap(model)(task.test[0])
    return Row(name, stage, float(task.metric(outputs, task.test[1])), diagnosis)


def _labelled(rows: list[Row]) -> dict[str, Diagnosis]:
    return {f"{row.network}, {row.stage} training": row.diagnosis for row in rows}


def _report(rows, out, steps, seed):
    """Write the report of everything so far."""
    configuration = {
        "data": f"UCI digits, 64 steps, {_HELD_OUT} held-out sequences",
        "hidden units": str(_HIDDEN),
        "training": f"{steps} updates of {_BATCH} sequences, Adam 2e-3, clipped at norm 1",
        "seed": str(seed),
        **{f"accuracy, {r.network}, {r.stage}": f"{r.accuracy:.1%}" for r in rows},
    }
    path, title = out / "report.html", "Digits, pixel by pixel"
    write_report(path, _labelled(rows), title=title, configuration=configuration)


def _summarize(rows, out):
    """Write and name the figures, print the text of each vanishing network and the table."""
    print("\nfigures")
    for path in save_figures(out, _labelled(rows)):
        print(f"  {path}")
    for row in rows:
        if row.diagnosis.verdict == "vanishing":
            print(f"\n{row.network}, {row.stage} training\n{row.diagnosis}")
    print(f"\n{table(rows)}")


def table(rows: list[Row]) -> str:
    """Return the rows as a plain-text table."""
    header = (
        "network", "training", "accuracy", "verdict", "nats/step", "horizon", "directions left",
    )  # fmt: skip
    lines = [header, *map(_cells, rows)]
    rule = tuple("-" * max(map(len, column)) for column in zip(*lines, strict=True))
    return "\n".join(in_columns([header, rule, *lines[1:]]))


def _cells(row: Row) -> tuple[str, ...]:
    d = row.diagnosis
    last = max(d.surviving_directions)
    return (
        row.network,
        row.stage,
        f"{row.accuracy:.1%}",
        d.verdict,
        f"{d.rate:+.3f} ± {d.rate_error:.3f}",
        f"{d.horizon:.0f}" + (" (extrapolated)" if d.horizon_is_extrapolated else ""),
        f"{d.surviving_directions[last]:.0f} of {d.state_size} at lag {last}",
    )
