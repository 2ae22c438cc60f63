"""The section about first answers and imports of the benchmarks' page."""

from _tables import provenance, short, table, with_quartiles

# Times the cost of one gradient: cold for all, warm where a target is set.
_FIRST, _WARM, _IMPORT = {"tanh 32, 16 x 100": 2.5}, {
    "LSTM 128, 32 x 200": 25,
    "GRU 512, 64 x 500": 25,
}, 1.3  # fmt: skip


def first_answer(result) -> str:
    """Return the section: one table of networks, one of the command line."""
    networks = [row for row in result["rows"] if "warm_ratio" in row]
    calls = [row for row in result["rows"] if "second_ratio" in row]
    parts = [provenance(result), _note(), _network_table(networks)]
    if calls:
        parts += ["### The command line", _call_table(calls)]
    return "\n\n".join(parts)


def first_answer_found(result) -> str:
    """Return how many times one gradient each diagnosis takes: cold, and warm."""
    lines = [
        [
            row["case"],
            f"{row['first_ratio']['median']:.1f}" + _asked(_FIRST.get(row["case"])),
            f"{row[warm]['median']:.1f}" + _asked(_WARM.get(row["case"])),
        ]
        for row in result["rows"]
        for warm in ("warm_ratio", "second_ratio")
        if warm in row
    ]
    headings = ["times one gradient [asked for]", "first diagnosis", "second"]
    return table(headings, lines)


def _note() -> str:
    return (
        'CPU seconds. "Gradient" is what everybody waits for anyway: `import jax` and the first '
        'jitted `value_and_grad` of the loss, in a fresh process. "Diagnosis" is '
        "`import vanishing_jax`, `vj.diagnose` of the same network on the same data (or "
        "`vj.diagnose_layers`) and its text, in another one. Warm: both once more, in turn, in the "
        "process that has diagnosed. Quartiles in brackets are those of the rounds' ratios; in "
        "square ones is what was asked for. Memory: peak of the process, at the first diagnosis "
        "and at the first gradient."
    )


def _asked(value) -> str:
    return f" [≤ {value:g}]" if value else ""


def _network_table(rows) -> str:
    lines = [
        [
            row["case"],
            short(row["first_gradient_seconds"]),
            short(row["first_diagnosis_seconds"]),
            with_quartiles(row["first_ratio"]) + _asked(_FIRST.get(row["case"])),
            short(row["warm_gradient_seconds"]),
            short(row["warm_diagnosis_seconds"]),
            with_quartiles(row["warm_ratio"]) + _asked(_WARM.get(row["case"])),
            f"{short(row['peak_gb'])}, {short(row['peak_gb_of_gradient'])}",
        ]
        for row in rows
    ]
    headings = ["network", "first gradient, s", "first diagnosis, s", "times the gradient"]
    headings += ["warm gradient, s", "warm diagnosis, s", "times the gradient", "memory, GB"]
    return table(headings, lines)


def _call_table(rows) -> str:
    lines = [
        [
            f"`{row['case'].split(',')[0]}`,{row['case'].partition(',')[2]}",
            short(row["first_gradient_seconds"]),
            short(row["first_call_seconds"]),
            with_quartiles(row["first_ratio"]),
            short(row["second_call_seconds"]),
            with_quartiles(row["second_ratio"]),
        ]
        for row in rows
    ]
    headings = ["command", "first gradient, s", "first call, s", "times the gradient"]
    return table([*headings, "second call, s", "times the gradient"], lines)


def imports(result, level: int = 1) -> str:
    """Return the section about what importing costs; at level 0 without where it was measured."""
    lines = [
        [f"`{row['code']}`", short(row["seconds_median"]), with_quartiles(row["ratio"])]
        for row in result["rows"]
    ]
    note = (
        "CPU seconds of a process that does nothing else. Equinox, which every cell is made of, is "
        f"the floor of what imports a cell; asked for: at most {_IMPORT:g} times `import jax`."
    )
    headings = ["in a fresh process", "s", "times `import jax` (quartiles)"]
    found = [note, table(headings, lines)]
    return "\n\n".join([provenance(result), *found] if level else found)
