"""What every benchmark and study does: read its options, measure, write what it found."""

import argparse
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import _record
import _timing

HERE = pathlib.Path(__file__).parent


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

    The result of a study goes to its folder, that of a benchmark to `results/<question>.json`.
    """

    question: str
    doc: str | None
    measure: Callable[[argparse.Namespace], Iterator[dict[str, Any]]]
    add_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    quick: dict[str, Any] = field(default_factory=dict)

    def parse(self, arguments: list[str] | None = None) -> argparse.Namespace:
        """Return the options of a command line."""
        parser = argparse.ArgumentParser(description=(self.doc or "").split("\n")[0])
        study, out = HERE / "studies" / self.question, HERE / "results" / f"{self.question}.json"
        out = study / "result.json" if study.exists() else out
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
            _record.write(options.out, self.question, settings, **found)
        if content:
            print(f"wrote {options.out}", file=sys.stderr)
        rows = content.get("rows", [])
        return int(any(str(row.get("error")).startswith("wrong") for row in rows))

    def start(self) -> None:
        """Be the script: alone on one core."""
        _timing.use_one_core()
        sys.exit(self.main())


def attempt(row: dict[str, Any], make: Callable[[], Any]) -> Any:
    """Return what a call gives; where it fails None, and the row says why: that is the result."""
    try:
        return make()
    except ImportError as error:
        row["error"] = f"not installed: {error}"
    except Exception as error:
        row["error"] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"


def kept(
    options: argparse.Namespace, parts: Iterable[str], more: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the parts of the JSON file that `--only` leaves as they are, and their CPU seconds."""
    if set(parts) <= set(options.only) or not options.out.exists():
        return {}, {}
    old = json.loads(options.out.read_text())
    found = {name: old[name] for name in (*parts, *more) if name in old}
    return found, old["settings"]["cpu_seconds"]


def progress(row: Any) -> None:
    """Say what was just found."""
    print(row, file=sys.stderr, flush=True)
