"""The table of what importing costs."""

from _pages import table_of, with_quartiles

_ASKED = 1.3  # times `import jax`


def found(result) -> str:
    """Return what each import costs."""
    note = (
        "CPU seconds of a process that does nothing else. Equinox, which every cell is made of, is "
        f"the floor of what imports a cell; asked for: at most {_ASKED:g} times `import jax`."
    )
    cells = {
        "in a fresh process": lambda row: f"`{row['code']}`",
        "s": "seconds_median",
        "times `import jax` (quartiles)": lambda row: with_quartiles(row["ratio"]),
    }
    return f"{note}\n\n{table_of(result['rows'], cells)}"
