"""Tables of the page about first answers."""

from _pages import short, table_of, with_quartiles

# Times the cost of one gradient that were asked for: cold, and warm.
FIRST = {"tanh 32, 16 x 100": 2.5}
WARM = {"LSTM 128, 32 x 200": 25, "GRU 512, 64 x 500": 25}


def asked(case: str, targets: dict[str, float]) -> str:
    """Return what was asked for, if anything."""
    return f" [≤ {targets[case]:g}]" if case in targets else ""


def found(result) -> str:
    """Return how many times one gradient each diagnosis takes: cold, and warm."""

    def second(row):
        ratio = row["warm_ratio"] if "warm_ratio" in row else row["second_ratio"]
        return f"{ratio['median']:.1f}{asked(row['case'], WARM)}"

    cells = {
        "times one gradient [asked for]": "case",
        "first diagnosis": lambda x: f"{x['first_ratio']['median']:.1f}{asked(x['case'], FIRST)}",
        "second": second,
    }
    return table_of(result["rows"], cells)


def network_table(rows) -> str:
    """Return a line for each network."""

    def memory(row):
        return f"{short(row['peak_gb'])}, {short(row['peak_gb_of_gradient'])}"

    cells = [
        ("network", "case"),
        ("first gradient, s", "first_gradient_seconds"),
        ("first diagnosis, s", "first_diagnosis_seconds"),
        (
            "times the gradient",
            lambda row: with_quartiles(row["first_ratio"]) + asked(row["case"], FIRST),
        ),
        ("warm gradient, s", "warm_gradient_seconds"),
        ("warm diagnosis, s", "warm_diagnosis_seconds"),
        (
            "times the gradient",
            lambda row: with_quartiles(row["warm_ratio"]) + asked(row["case"], WARM),
        ),
        ("memory, GB", memory),
    ]
    return table_of([row for row in rows if "warm_ratio" in row], cells)


def call_table(rows) -> str:
    """Return a line for each command."""

    def command(row):
        name, _, network = row["case"].partition(",")
        return f"`{name}`,{network}"

    cells = [
        ("command", command),
        ("first gradient, s", "first_gradient_seconds"),
        ("first call, s", "first_call_seconds"),
        ("times the gradient", lambda row: with_quartiles(row["first_ratio"])),
        ("second call, s", "second_call_seconds"),
        ("times the gradient", lambda row: with_quartiles(row["second_ratio"])),
    ]
    return table_of([row for row in rows if "second_ratio" in row], cells)
