"""What every benchmark and study does: read its options, measure, write what it found."""

import argparse
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import _timing
from _tables import short, table


def names(text: str) -> list[str]:
    """Return words with commas between."""
    return text.split(",")


def numbers(text: str) -> list[int]:
    """Return numbers with commas between."""
    return [int(x) for x in text.split(",")]


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Add the folder of exact references, which take longer than what is measured."""
    parser.add_argument("--cache", type=pathlib.Path, help="folder that keeps exact references")


@dataclass(frozen=True)
class Benchmark:
    """One question, and how to measure its answer.

    - `measure`: from the options, all that was found so far, whenever a part of it is finished. Its
      key `settings` adds to what the options say.
    - `add_options`: adds the script's own options to the parser.
    - `quick`: defaults of the options with `--quick`.
    - `out`: the JSON file to write; by default `results/<question>.json`.
    """

    question: str
    doc: str | None
    measure: Callable[[argparse.Namespace], Iterator[dict[str, Any]]]
    add_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    quick: dict[str, Any] = field(default_factory=dict)
    out: pathlib.Path | None = None

    def parse(self, arguments: list[str] | None = None) -> argparse.Namespace:
        """Return the options of a command line."""
        parser = argparse.ArgumentParser(description=(self.doc or "").split("\n")[0])
        out = self.out or _timing.RESULTS / f"{self.question}.json"
        parser.add_argument("--quick", action="store_true", help="toy sizes, to see that it runs")
        parser.add_argument("--both-cores", action="store_true", help="all cores and wall time")
        parser.add_argument("--rounds", type=int, default=9, help="interleaved measurements")
        parser.add_argument("--out", type=pathlib.Path, default=out, help="JSON file to write")
        self.add_options(parser)
        arguments = sys.argv[1:] if arguments is None else arguments
        if "--quick" in arguments:
            parser.set_defaults(**self.quick)
        return parser.parse_args(arguments)

    def main(self, arguments: list[str] | None = None) -> int:
        """Measure and write; return 1 where a result was wrong."""
        options, begin, content = self.parse(arguments), time.perf_counter(), {}
        # Written after every part: a run that is cut short has lost only what it had not done.
        for content in self.measure(options):
            settings = {k: v for k, v in vars(options).items() if not isinstance(v, pathlib.Path)}
            settings["clock"] = _timing.clock(options.both_cores).__name__
            settings["wall_seconds"] = time.perf_counter() - begin
            settings |= content.get("settings", {})
            found = {name: x for name, x in content.items() if name != "settings"}
            _timing.write(options.out, self.question, settings, **found)
        if content:
            print(f"wrote {options.out}", file=sys.stderr)
        rows = content.get("rows", [])
        return int(any(str(row.get("error")).startswith("wrong") for row in rows))

    def start(self) -> None:
        """Be the script: alone on one core."""
        _timing.use_one_core()
        sys.exit(self.main())


def kept(
    options: argparse.Namespace, parts: Iterable[str], more: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the parts of the JSON file that `--only` leaves as they are, and their CPU seconds."""
    if set(parts) <= set(options.only) or not options.out.exists():
        return {}, {}
    old = json.loads(options.out.read_text())
    return {name: old[name] for name in (*parts, *more) if name in old}, old["settings"][
        "cpu_seconds"
    ]


def progress(row: Any) -> None:
    """Say what was just found."""
    print(row, file=sys.stderr, flush=True)


def show(
    rows: list[dict[str, Any]], columns: dict[str, str] | None = None, title: str = ""
) -> None:
    """Print rows as a Markdown table; `columns` maps keys to headings, by default all keys."""
    if title:
        print(f"\n**{title}**\n")
    keys = dict.fromkeys(key for row in rows for key in row if key != "command")
    columns = columns or {key: key.replace("_", " ") for key in keys}
    print(
        table(columns.values(), [[_cell(r.get(k, "")) for k in columns] for r in rows]), flush=True
    )


def _cell(value) -> str:
    if isinstance(value, dict):
        return _cell(value.get("median")) if "median" in value else _named(value)
    return "–".join(map(_cell, value)) if isinstance(value, list) else short(value)


def _named(values) -> str:
    return ", ".join(f"{name}: {_cell(x)}" for name, x in values.items())
