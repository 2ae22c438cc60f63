"""Results with the fields of the real ones and shapes of real networks, made without JAX."""

from types import SimpleNamespace

import jax
import numpy as np


def spectrum(num_steps=16, n=6, rate=-0.2, zeros_after=None, seed=0):
    rng = np.random.default_rng(seed)
    lags = np.arange(num_steps + 1)
    slopes = rate - 0.06 * np.arange(n) + 0.01 * rng.standard_normal(n)
    logs = lags[:, None] * np.sort(slopes)[::-1] + 0.3 * np.sqrt(lags)[:, None] * np.linspace(
        1, -1, n
    )
    if zeros_after is not None:
        logs[lags >= zeros_after, n // 2 :] = -np.inf
    return SimpleNamespace(
        log_singular_values=logs,
        error_bound=np.full(logs.shape, 1e-12),
        estimated_error=1e-12,
        windows=np.stack([num_steps - lags, np.full_like(lags, num_steps)], axis=1),
        direction="backward",
        dtype="float64",
    )


def single_spectrum(n=6):
    return SimpleNamespace(
        log_singular_values=np.linspace(1.0, -20.0, n),
        error_bound=np.full(n, 0.01),
        estimated_error=0.1,
        windows=np.array([0, 16]),
        direction="forward",
        dtype="float64",
    )


def profile(num_steps=16, rate=-0.2):
    log_norm = rate * np.arange(num_steps, -1, -1.0)
    return SimpleNamespace(log_norm=log_norm, log_parameter_norm=log_norm[1:] - 1.5)


def influence(num_steps=16, m=9, rate=-0.2, zeros=False):
    times = np.unique(np.linspace(0, num_steps, m).round().astype(int))
    logs = rate * (times[:, None] - times[None, :]).astype(float)
    logs += 0.5 * np.sin(times / 3.0)[:, None] * (times[:, None] > times[None, :])
    if zeros:
        logs[times[:, None] - times[None, :] > num_steps // 2] = -np.inf
    logs[times[:, None] < times[None, :]] = np.nan
    return SimpleNamespace(times=times, log_norm=logs)


def eigenvalues(records=3, n=6, radius=0.9, seed=0):
    rng = np.random.default_rng(seed)
    matrices = radius * rng.standard_normal((records, n, n)) / np.sqrt(n)
    return SimpleNamespace(
        eigenvalues=np.linalg.eigvals(matrices), times=np.arange(1, records + 1) * 5
    )


def lyapunov(n=6, num_steps=16, rate=-0.2):
    return SimpleNamespace(
        exponents=rate - 0.06 * np.arange(n),
        standard_error=np.full(n, 0.02),
        num_steps=num_steps,
    )


def history(num_steps=16, gates=("input gate", "forget gate", "output gate"), hidden=4):
    time = np.arange(num_steps)
    names = (*gates[:2], "candidate", *gates[2:], "output")
    is_gate = tuple(name in gates for name in names)
    mean, saturated, by_unit, histograms, all_edges = [], [], [], [], []
    for index, gate in enumerate(is_gate):
        low, bins = (0.0 if gate else -1.0), 20
        edges = np.linspace(low, 1.0, bins + 1)
        centers = (edges[1:] + edges[:-1]) / 2
        level = 0.5 + 0.1 * index - 0.3 * np.exp(-time / 5) * (index % 2)
        middle = np.clip(level, 0, 0.95) if gate else 0.3 * np.sin(time / 4)
        histogram = np.exp(-(((centers - middle[:, None]) / 0.25) ** 2)) + 0.02
        histogram[:, -1] += 0.4 * (not gate)
        mean.append(np.clip(level, 0, 0.95))
        saturated.append(np.clip(0.05 + 0.1 * index + 0.3 * (1 - np.exp(-time / 9)), 0, 1))
        by_unit.append(np.linspace(0.0, 1.0, hidden))
        histograms.append(histogram / histogram.sum(axis=1, keepdims=True))
        all_edges.append(edges)
    return SimpleNamespace(
        names=names,
        kinds=tuple("sigmoid" if gate else "tanh" for gate in is_gate),
        is_gate=is_gate,
        mean=tuple(mean),
        saturated=tuple(saturated),
        saturated_by_unit=tuple(by_unit),
        histogram=tuple(histograms),
        bin_edges=tuple(all_edges),
    )


def many_effects(count=25, rate=-0.2):
    """Return as many effects as three stacked LSTMs have, in the order of their gates."""
    parts = ("input", "forget", "output")
    names = [f"layer{i // 6}.{parts[i // 2 % 3]} gate bias {'+-'[i % 2]}2" for i in range(count)]
    rates = rate * np.linspace(0.2, 1.4, count)[(np.arange(count) * 7) % count]
    return [effect(n, float(r), float(-6.9 / r)) for n, r in zip(names, rates, strict=True)]


def effect(name, rate, horizon, kind="remedy", extrapolated=False):
    return SimpleNamespace(
        name=name,
        description=f"the same data, run again with {name}",
        rate=rate,
        rate_error=0.02,
        horizon=horizon,
        horizon_is_extrapolated=extrapolated,
        is_bound=False,
        zero_share=0.0,
        kind=kind,
        blames="saturated units" if "saturation" in name else None,
    )


def diagnosis(num_steps=16, n=6, num_sequences=5, rate=-0.2, zeros=False, seed=0, **changes):
    """Return a diagnosis of a network whose gradients change by `rate` nats per step."""
    rng = np.random.default_rng(seed)
    lags = np.arange(num_steps + 1)
    walk = np.cumsum(0.15 * rng.standard_normal((num_sequences, num_steps)), axis=1)
    log_by_lag = rate * lags + np.pad(walk, ((0, 0), (1, 0)))
    if zeros:
        log_by_lag[1:, num_steps * 2 // 3 :] = -np.inf
    causes = [
        effect("no saturation (tanh → identity)", rate / 4, -6.9 / rate * 4, "cause", True),
        effect("forget gate held at 1", rate / 10, np.inf, "cause"),
    ]
    remedies = [
        effect("forget bias +3", rate / 8, -6.9 / rate * 8, extrapolated=True),
        effect("orthogonal recurrent weights", rate / 2, -6.9 / rate * 2),
        effect("recurrent weights × 1.5", -rate / 3, np.inf),
    ]
    fields = dict(
        verdict="vanishing",
        reason=f"The gradient loses a factor of {np.exp(-rate):.2f} at each step.",
        rate=rate,
        rate_error=0.03,
        horizon=abs(6.9 / rate),
        horizon_is_extrapolated=abs(6.9 / rate) > num_steps,
        zero_share=float(np.mean(np.isneginf(log_by_lag[:, -1]))),
        num_steps=num_steps,
        num_sequences=num_sequences,
        state_size=n,
        gradient_source="loss gradient",
        lags=lags,
        log_gradient_by_lag=log_by_lag,
        profile=profile(num_steps, rate),
        spectrum=spectrum(num_steps, n, rate, num_steps // 2 if zeros else None),
        lyapunov=lyapunov(n, num_steps, rate),
        influence=influence(num_steps, min(num_steps + 1, 33), rate, zeros),
        eigenvalues=eigenvalues(3, n),
        activations=history(num_steps),
        unit="step",
        kept=SimpleNamespace(printed=directions(n, num_steps, zeros), layer_gradients=None),
        causes=causes,
        recommendations=remedies,
        effects=causes + remedies,
        prediction=None,
        skipped={"gradient clipping": "it never changes a direction's decay"},
        dtype="float32",
        notes=[],
    )
    return SimpleNamespace(**{**fields, **changes})


def directions(n, num_steps, zeros=False):
    """Return singular values of which half survive at lag 4, and none at the last."""
    from vanishing_jax.diagnostics._kept import Directions

    ends = {1: (0.0, -0.7), 4: (0.0, -13.0), num_steps: (-8.0, -34.0)}
    logs = {lag: np.linspace(*of, n) for lag, of in ends.items() if lag <= num_steps}
    if zeros:
        logs[num_steps][-1] = -np.inf
    return Directions(logs, dict.fromkeys(logs, n))


def healthy(**changes):
    fields = dict(verdict="healthy", rate=-0.001, rate_error=0.004, horizon=np.inf)
    nothing = dict(causes=[], recommendations=[], horizon_is_extrapolated=False)
    return diagnosis(**{**fields, **nothing, **changes})


def one_step(**changes):
    """Return the diagnosis of one step of a network of one unit, without a loss."""
    fields = dict(num_steps=1, n=1, num_sequences=1, verdict="inconclusive", profile=None)
    nothing = dict(rate_error=np.nan, effects=[], causes=[], recommendations=[], skipped={})
    return diagnosis(**{**fields, **nothing, **changes})


def comparison(
    losses=None, *, diverged=None, reached=None, target=None, num_steps=6, profiles=True
):
    """Return the Dataset of a comparison whose training losses are given, by recipe, seed, record.

    `diverged` and `reached` are numbers of updates by (recipe, seed): the run ends with that one.
    """
    # The package's own code makes it, so that it has the variables of the real ones.
    from vanishing_jax.comparison._result import joined, run_dataset
    from vanishing_jax.training._evaluate import Evaluation

    from ..training.small import FirstSign

    losses = {"tanh": [[1.0, 0.9], [0.8, 0.7]]} if losses is None else losses
    diverged, reached = diverged or {}, reached or {}
    every, records = 10, len(next(iter(losses.values()))[0])
    task = FirstSign(name="adding", length=num_steps, baseline=0.5)

    def run(recipe, seed, loss):
        loss = np.array(loss, float)
        kept = len(loss) if not np.isnan(loss).any() else int(np.argmax(np.isnan(loss)))
        last = diverged.get((recipe, seed)), reached.get((recipe, seed))
        history = training_history(loss[:kept], every, num_steps, profiles, *last)
        settings = dict(recipe=recipe, seed=seed, learning_rate=0.1, target=target)
        settings |= dict(steps=every * records, record_every=every)
        end = loss[kept - 1] if kept else np.nan
        test = None if last[0] else Evaluation(float(end), float(1.0 - end), 10, False)
        return run_dataset(history, test, task, settings, {})

    rows = [[run(name, k, x) for k, x in enumerate(of_one)] for name, of_one in losses.items()]
    return joined(rows)


def training_history(loss, every=10, num_steps=6, profiles=True, diverged=None, reached=None):
    """Return a history whose gradient falls by one nat per step back, and by two per record."""
    from vanishing_jax.training import History

    records = len(loss)
    log_norm = np.arange(-num_steps, 1.0) - 2.0 * np.arange(records)[:, None]
    loss = np.asarray(loss, float)
    return History(
        every * np.arange(1, records + 1),
        loss,
        1.0 - loss,
        2.0 * loss,
        {"gradient_profile": log_norm} if profiles else {},
        nonfinite_step=diverged,
        nonfinite_leaf=None if diverged is None else "loss",
        target_step=reached,
    )


def layer_gradients(toward="past", rates=(-0.2, -0.9, None), num_steps=16):
    """Return a `LayerGradients`: one even decay per layer, None for one without any gradient."""
    from vanishing_jax.diagnostics._layer_gradients import layer_gradients

    lags = np.arange(num_steps + 1)
    logs = [np.full(num_steps + 1, -np.inf) if r is None else r * lags for r in rates]
    names = tuple(f"layer{i}" for i in range(len(rates)))
    return layer_gradients(names, np.stack([logs, logs], axis=1), toward)


def network(parts=("layer0.forward", "layer0.backward"), **changes):
    """Return a diagnosis of a network that reaches far into the past, not into the future."""
    past = healthy(toward="past", gradients=layer_gradients(rates=(-0.001, -0.002)))
    future = diagnosis(toward="future", gradients=layer_gradients("future"))
    fields = dict(reaches={"past": past, "future": future})
    return diagnosis(**fields, parts={name: diagnosis() for name in parts}, **changes)


def claim_result(*, curves=False):
    """Return a claim that holds in one case and fails in another."""
    from vanishing_jax.studies.claims import ClaimResult, Curve, Figure
    from vanishing_jax.studies.claims._finding import Finding

    findings = (
        Finding("small", "rate [nats]", -1.5, -2.0, -1.0, below=0.0, prediction=-1.4),
        Finding("large", "rate [nats]", 1.5, 1.0, 2.0, below=0.0),
        Finding("size", "share", 0.5, 0.4, 0.6, below=0.0),
    )
    drawn = (Curve("a", (1.0, 2.0), (1.0, 2.0)), Curve("b", (1.0, 2.0), (2.0, 1.0), False))
    figure = Figure("title", "x", "y", drawn, 0.5) if curves else Figure()
    return ClaimResult("C0", "it vanishes", "nowhere", findings, figure)


def phase(axis="input_variance", seeds=3):
    """Return a phase diagram of networks whose exponent is ln(gain) - variance, measured 0.1 less.

    The package's own code makes the dataset, so that it has the variables of the real ones.
    """
    from vanishing_jax.comparison import _phase_diagram as module

    gains, values = np.array([0.5, 1.0, 2.0, 4.0]), np.array([0.0, 0.1, 1.0])
    grid = module._Grid(gains, axis, values, 0.2)
    exponent = np.log(gains)[:, None] - values
    horizon = np.where(exponent < 0, np.log(1e-3) / np.minimum(exponent, -1e-9), np.inf)
    horizon = np.where(horizon > 50, np.inf, horizon)
    scatter = 0.01 * np.arange(seeds) - 0.1
    attrs = {"steps": 50, "hidden_size": 8, "activation": "tanh", "weights": "gaussian"}
    if axis == "bias_variance":
        attrs["input_variance"] = 0.2
    predicted = {"exponent": exponent, "horizon": horizon, "critical_gain": np.exp(values)}
    measured = exponent[..., None] + scatter, np.repeat(horizon[..., None], seeds, axis=2)
    return module._dataset(grid, *measured, predicted, attrs, jax.random.key(0))


def trainability(accuracy=None):
    """Return a map whose boundary is twice the signal's time scale; one gain learns nothing."""
    from vanishing_jax.comparison import _trainability_map as module

    gains, lags = np.array([0.8, 1.0, 1.2, 2.0]), np.array([2, 8, 32])
    edge = np.array([4.0, 16.0, np.inf, 0.0])
    if accuracy is None:
        accuracy = np.where(lags < edge[:, None], 1.0, 0.25)[..., None].repeat(2, axis=2)
    times = {"signal_time": edge / 2, "gradient_time": np.array([3.0, np.inf, 9.0, 2.0])}
    attrs = {"symbols": 4, "input_variance": 0.01, "updates": 7, "critical_gain": 1.1}
    return module._dataset(gains, lags, accuracy, accuracy, times, attrs, jax.random.key(0))
