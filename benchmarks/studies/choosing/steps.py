"""The decision table of "How to choose a remedy": each line with what the results must say."""

import math
from collections.abc import Callable

from studies.choosing.evidence import Evidence
from studies.choosing.text import Step, power, rate, span, ten

from vanishing_jax import theory
from vanishing_jax.studies._verdicts import wins


def _gates(e: Evidence) -> Step:
    gru, lstm, tanh = (e.reached("adding 100", f"{name}+clip") for name in ("gru", "lstm", "tanh"))
    times = {name: e.cost(name) for name in ("gru", "lstm")}
    return Step(
        "**VANISHING**, a cell without gates",
        "a gated cell, clipped, its learning rate tuned: `gru+clip`, `lstm+clip`",
        f"adding, T = {e.experiment('adding 100')['length']}: GRU {gru}, LSTM {lstm}, tanh {tanh}; "
        f"rate gained over tanh {rate(e.finding('C27', 'GRU'))} and "
        f"{rate(e.finding('C27', 'LSTM (forget bias 1)'))}",
        f"a step takes {times['gru']:.1f} (GRU) and {times['lstm']:.1f} (LSTM) times that of tanh",
        f"clipping alone ({tanh}), `tanh+layernorm` ({e.solved('tanh+layernorm')}), "
        f"`tanh+he` ({e.solved('tanh+he')}), `tanh+orthogonal` ({e.solved('tanh+orthogonal')})",
        min(gru.value, lstm.value) > tanh.value
        and all(e.solved(f"tanh+{x}").good == 0 for x in ("layernorm", "he", "orthogonal")),
    )


def _plain(e: Evidence) -> Step:
    short, long = e.reached("adding 100", "irnn+clip"), e.reached("adding 150", "irnn+clip")
    bare, fast = (e.reached("adding 150", name) for name in ("irnn", "irnn+clip+lr=0.001"))
    dead = e.dead("adding 150", "irnn+clip+lr=0.001")
    relu, stack, leaky = map(e.solved, ("relu", "tanh+layers=3", "tanh+layers=3+leaky"))
    length = e.table["length"]
    return Step(
        "**VANISHING**, and the cell must stay plain",
        "ReLU from the identity, clipped, at a low rate: `irnn+clip`; or leaky units: `+leaky`",
        f"adding, T = {e.experiment('adding 100')['length']}: {short}; "
        f"T = {e.experiment('adding 150')['length']}: {long}. T = {length}: `relu` {relu}; "
        f"`tanh+layers=3` with `+leaky` {leaky}, without {stack}",
        f"{e.seconds('adding 100', 'irnn+clip'):.1f} s a seed, tanh "
        f"{e.seconds('adding 100', 'tanh+clip'):.1f}; IRNN is fragile: at T = "
        f"{e.experiment('adding 150')['length']}, rate 1e-3, {fast}, and {dead} met a NaN",
        f"IRNN without clipping ({bare}); skips across layers only, `tanh+skip-layers=3` "
        f"({e.solved('tanh+skip-layers=3')})",
        short.value > 0.5 and long.value > bare.value and leaky.value > stack.value
        and e.solved("tanh+skip-layers=3").good == 0,
    )  # fmt: skip


def _forget(e: Evidence) -> Step:
    chrono, usual = (e.scores("chrono", f"lstm{x}+clip") for x in ("+chrono", ""))
    biases = {bias: e.finding("C15", f"LSTM, forget bias {bias}") for bias in (0, 1, 3)}
    pairs = wins(chrono, usual, best="high")
    update = {bias: e.finding("C15", f"GRU, update bias {bias}") for bias in (0, 3)}
    return Step(
        "**VANISHING**, *forget gate too closed* (LSTM), *update gate too closed* (GRU)",
        "the gate's bias: `lstm+chrono`, `gru+chrono`, or `forget-bias=3`",
        f"LSTM, forget bias 0, 1, 3: {', '.join(map(rate, biases.values()))}; GRU, update bias 0, "
        f"3: {', '.join(map(rate, update.values()))}. Copy memory: symbols right {span(chrono)} "
        f"with chrono, {span(usual)} without ({pairs} pairs)",
        "nothing: an initialization",
        f"gates as such: GRU with bias 0 has {rate(update[0])}, "
        f"tanh {rate(e.finding('C4', 'tanh at gain 1, input variance 0.1'))}",
        biases[0] < biases[1] and update[0] < update[3] and pairs.value == 1,
    )


def _saturated(e: Evidence) -> Step:
    by_gain = {gain: e.exponent(gain, 1.0) for gain in (1.0, 1.5, 2.0)}
    weak = e.exponent(1.0, 0.01)
    norm = e.finding("C1", "strong inputs (variance 1)")
    critical = theory.critical_gain(activation="tanh", input_variance=1.0)
    tried = any("critical" in recipe for recipe in e.networks)  # then it has seeds to show
    return Step(
        "**VANISHING**, *slopes of the activation below their maximum*, *the input*",
        "smaller input weights, or the critical gain: `tanh+critical`",
        f"tanh, gain 1, input variance 1 → 0.01: {rate(by_gain[1.0])} → {rate(weak)}; variance 1, "
        f"gain 1, 1.5, 2: {', '.join(map(rate, by_gain.values()))}; theory: 0 at gain "
        f"{critical:.2f}" + ("" if tried else "; not trained here"),
        "nothing: an initialization; training moves the weights away",
        f"layer normalization: {rate(norm)} with inputs of variance 1",
        by_gain[1.0] < by_gain[1.5] < by_gain[2.0] and by_gain[1.0] < weak and norm < 0,
    )


def _small(e: Evidence) -> Step:
    before, after = e.decades("tanh+small"), e.decades("tanh+glorot")
    orthogonal = e.decades("tanh+orthogonal")
    trained = {name: e.solved(f"tanh+{name}") for name in ("glorot", "orthogonal")}
    return Step(
        "**VANISHING**, *recurrent weights too small*, *recurrent weights away from orthogonal*",
        "`+orthogonal` or `+glorot`, then again from the first line",
        f"small weights {power(before)}, Glorot {power(after)}, orthogonal {power(orthogonal)} "
        f"over {e.table['length']} steps",
        "nothing: an initialization",
        f"initialization alone: {trained['glorot']} (Glorot), {trained['orthogonal']} (orthogonal)",
        before[0] < after[0] and before[0] < orthogonal[0]
        and all(share.good == 0 for share in trained.values()),
    )  # fmt: skip


def _exploding(e: Evidence) -> Step:
    start = "relu+orthogonal=2"
    leaky, clip, none = (e.solved(start + part) for part in ("+leaky", "+clip", ""))
    change = {x: e.finding("C30", f"{x} at gain 3") for x in ("leaky units", "layer normalization")}
    irnn, bare = e.reached("adding 150", "irnn+clip"), e.reached("adding 150", "irnn")
    return Step(
        "**EXPLODING**",
        "`+leaky` or `+layernorm` for the growth; `+clip` for the updates",
        f"tanh, gain 3, change of the rate's size: leaky {rate(change['leaky units'])}, layer norm "
        f"{rate(change['layer normalization'])}. `{start}`: leaky {leaky}, uncured {none}; IRNN, "
        f"T = {e.experiment('adding 150')['length']}: clipped {irnn}, not {bare}",
        f"no time; leaky units keep 1 − a of a state per step: {rate(math.log(0.9))} at a = 0.1",
        f"clipping where the growth itself is the matter: `{start}+clip` {clip}",
        max(change.values()) < 0 and leaky.value > none.value and irnn.value > bare.value
        and clip.value <= none.value,
    )  # fmt: skip


def _deep(e: Evidence) -> Step:
    names = {
        "ReLU, Glorot": "Glorot", "ReLU, He": "He", "ReLU, batch norm": "batch norm",
        "ReLU, layer norm before, skip": "layer norm before, skip",
        "transformer, pre-norm": "pre-norm transformer",
    }  # fmt: skip
    rows = {short: e.layers(name) for name, short in names.items()}
    depth = rows["He"]["depth"]
    listed = "; ".join(f"{name} {ten(row['log10_end_to_end'])}" for name, row in rows.items())
    size = {name: abs(row["log10_end_to_end"]) for name, row in rows.items()}
    bare = e.layers("ReLU, He, skip")["log10_end_to_end"]
    return Step(
        "`vj.diagnose_layers`: **VANISHING** over layers",
        "He for ReLU; a norm before each layer and a skip",
        f"ReLU, {depth} layers, end to end: {listed}",
        "a norm and a sum per layer",
        f"Glorot with ReLU; a skip without a norm: {ten(bare)}",
        max(size["He"], size["layer norm before, skip"]) < size["Glorot"]
        and abs(bare) > size["layer norm before, skip"],
    )


def _healthy(e: Evidence) -> Step:
    tanh, lstm, gru = (e.scores("digits", f"{x}+clip") for x in ("tanh", "lstm", "gru"))
    pairs = wins(lstm, tanh, best="high")
    return Step(
        "**HEALTHY**",
        "nothing about gradients: learning rate, size, updates",
        f"digits, {e.experiment('digits')['length']} steps: accuracy tanh {span(tanh)}, LSTM "
        f"{span(lstm)}, GRU {span(gru)}",
        "–",
        f"gates: LSTM above tanh in {pairs} pairs of seeds",
        pairs.value < 0.75,
    )


def _scale(e: Evidence) -> Step:
    weak, strong = (
        e.finding("C1", f"{kind} inputs (variance {x})") for kind, x in WEAK_AND_STRONG.items()
    )
    bare, normalized = e.solved("irnn"), e.solved("irnn+layernorm")
    tanh = e.solved("tanh+layernorm")
    return Step(
        "**VANISHING**, *scale of the pre-activations*",
        "`+layernorm`, if the input is weak beside the recurrence; scale it down",
        f"rate gained: {rate(weak)} at input variance 0.01; T = {e.table['length']}: "
        f"`irnn+layernorm` {normalized}, `irnn` {bare}",
        "two directions of the state in every step (`vj.theory.layer_norm_singular_values`)",
        f"with strong input: {rate(strong)} at variance 1; `tanh+layernorm` {tanh}",
        strong < 0 < weak and normalized.good >= bare.good and tanh.good == 0,
    )


WEAK_AND_STRONG = {"weak": 0.01, "strong": 1}

STEPS: tuple[Callable[[Evidence], Step], ...] = (
    _gates, _plain, _forget, _saturated, _scale, _small, _exploding, _deep, _healthy,
)  # fmt: skip
