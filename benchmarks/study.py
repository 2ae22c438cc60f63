"""Run one study: a question about networks, not about the speed or accuracy of this package.

python benchmarks/study.py NAME [--quick] [--help]

Measures what studies/NAME/page.py shows; `python benchmarks/make_readme.py` writes the page.
"""

import importlib
import sys

import _timing
from studies.build import NAMES


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] not in NAMES:
        print(f"usage: python benchmarks/study.py {{{','.join(NAMES)}}} ...", file=sys.stderr)
        return 2
    return importlib.import_module(f"studies.{arguments[0]}.run").BENCHMARK.main(arguments[1:])


if __name__ == "__main__":
    _timing.use_one_core()
    sys.exit(main())
