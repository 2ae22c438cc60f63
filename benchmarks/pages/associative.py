"""Tables of the page about the parallel scan."""

from _pages import short, table_of, with_quartiles

_CASE = {"cell": "cell", "H": "hidden", "B": "batch", "T": "time", "what": "quantity"}


def found(result) -> str:
    """Return how many times faster the parallel scan is."""
    faster = {
        "times faster than the scan (quartiles)": lambda row: with_quartiles(row["ratio"]),
    }
    return table_of(result["rows"], _CASE | faster)


def seconds_table(rows) -> str:
    """Return the times of both methods."""

    def of(method, key, factor=1):
        return lambda row: short(factor * row[method][key])

    cells = {
        "scan, ms": of("scan", "seconds_median", 1e3),
        "parallel, ms": of("associative", "seconds_median", 1e3),
        "first call, s": of("scan", "first_call_seconds"),
        "first call of the parallel, s": of("associative", "first_call_seconds"),
        "difference": "difference",
    }
    return table_of(rows, _CASE | cells)
