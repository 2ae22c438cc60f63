"""Makes the pages: sources/NN_name.py -> NN_name.ipynb, executed, with its figures.

    make notebooks                       every page (needs the extra [notebooks])
    python notebooks/build.py 11 12      only these
    python notebooks/build.py --text 12  renew the text alone, where the code is the same
    python notebooks/build.py --toy      run all code small, in this process, and write nothing

A source is Python in the percent format that editors and Jupytext know: a line `# %%` begins a cell
of code, `# %% [markdown]` one of text. Where the environment variable VANISHING_JAX_TOY is set a
page runs small: the tests run all of them that way, without Jupyter.
"""

import argparse
import base64
import io
import json
import os
import pathlib
import time
from typing import Any, NamedTuple

FOLDER = pathlib.Path(__file__).parent
SOURCES = FOLDER / "sources"
_TEXT = "# %% [markdown]"
_CODE = "# %%"
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


class Cell(NamedTuple):
    """One cell of a page: its kind, "markdown" or "code", and its text."""

    kind: str
    text: str


def read(source: pathlib.Path) -> list[Cell]:
    """Return the cells of a source."""
    cells: list[Cell] = []
    kind, lines = None, []
    for line in [*source.read_text().splitlines(), _CODE]:
        if line not in (_TEXT, _CODE):
            lines.append(line)
            continue
        text = "\n".join(_uncommented(lines) if kind == "markdown" else lines).strip()
        if kind and text:
            cells.append(Cell(kind, text))
        elif text:
            raise ValueError(f"{source.name} begins outside a cell: {lines[0]!r}")
        kind, lines = "markdown" if line == _TEXT else "code", []
    return cells


def _uncommented(lines: list[str]) -> list[str]:
    return [line.removeprefix("#").removeprefix(" ") for line in lines]


def pages(names: list[str]) -> list[pathlib.Path]:
    """Return the sources whose names begin with one of `names`; all of them for no names."""
    sources = sorted(SOURCES.glob("[0-9][0-9]_*.py"))
    chosen = [s for s in sources if not names or any(s.name.startswith(name) for name in names)]
    if not chosen:
        raise SystemExit(f"no page is called {names}; there are {[s.stem for s in sources]}.")
    return chosen


def run_small(source: pathlib.Path) -> None:
    """Run the code of a page at toy size, in this process."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    namespace: dict[str, Any] = {"__name__": source.stem}
    for index, cell in enumerate(read(source)):
        if cell.kind == "code":
            exec(compile(cell.text, f"{source.name}, cell {index}", "exec"), namespace)
            plt.close("all")


def build(source: pathlib.Path) -> pathlib.Path:
    """Execute a page by Jupyter and write the notebook; an error or a warning is an error."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.v4.new_notebook(metadata={"kernelspec": _KERNEL})
    for index, cell in enumerate(read(source)):
        new = getattr(nbformat.v4, f"new_{cell.kind}_cell")
        book.cells.append(new(cell.text, id=f"cell-{index:02}"))
    # Pages print what they have to say: no value of a last line, such as <Axes: ...>, is shown.
    quiet = ["--InteractiveShell.ast_node_interactivity=none"]
    options = {"timeout": 1800, "record_timing": False, "coalesce_streams": True}
    where = {"metadata": {"path": FOLDER}}
    NotebookClient(book, resources=where, extra_arguments=quiet, **options).execute()
    for cell in book.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                raise SystemExit(f"{source.name} writes to standard error:\n{output['text']}")
            _shrink(output)
    book.metadata.pop("language_info", None)  # the version of the interpreter that built it
    target = FOLDER / f"{source.stem}.ipynb"
    nbformat.validate(book)
    nbformat.write(book, target)
    return target


def renew_text(source: pathlib.Path) -> pathlib.Path:
    """Write the text of a page anew around the outputs it has; refuse if the code has changed."""
    target = FOLDER / f"{source.stem}.ipynb"
    book = json.loads(target.read_text())
    executed = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    cells = read(source)
    code = [cell.text for cell in cells if cell.kind == "code"]
    if code != ["".join(cell["source"]) for cell in executed]:
        raise SystemExit(f"the code of {source.name} has changed: leave out --text.")
    outputs, book["cells"] = iter(executed), []
    for index, cell in enumerate(cells):
        text = {"cell_type": "markdown", "metadata": {}, "source": cell.text.splitlines(True)}
        new = next(outputs) if cell.kind == "code" else text
        book["cells"].append({**new, "id": f"cell-{index:02}"})
    target.write_text(json.dumps(book, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return target


def _shrink(output: Any) -> None:
    """Give a figure a palette, which takes a third of the bytes, and drop its textual stand-in."""
    from PIL import Image

    data = output.get("data", {})
    if "image/png" not in data:
        return
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
    file = io.BytesIO()
    _with_palette(image).save(file, "PNG", optimize=True)
    data["image/png"] = base64.b64encode(file.getvalue()).decode()
    data.pop("text/plain", None)


def _with_palette(image: Any) -> Any:
    """Return an image of 256 colors: the 96 most common ones as they are, so that areas stay true.

    The others are chosen by the method that keeps those that few pixels have, in color bars.
    """
    import numpy as np
    from PIL import Image

    pixels = np.asarray(image).astype(int).reshape(-1, 3)
    packed, where, count = np.unique(
        pixels @ [65536, 256, 1], return_inverse=True, return_counts=True
    )
    colors = np.stack([packed // 65536, packed // 256 % 256, packed % 256], axis=1)
    common = colors[np.argsort(-count)[:96]]
    size = 256 - len(common)
    chosen = image.quantize(size, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    others = np.reshape(chosen.getpalette(), (-1, 3))[:size]
    palette = np.concatenate([common, others])
    nearest = np.argmin(np.sum((colors[:, None] - palette) ** 2, axis=2), axis=1)
    small = Image.fromarray(nearest[where].reshape(image.size[::-1]).astype(np.uint8))
    small.putpalette(palette.astype(np.uint8).ravel().tolist())
    return small


def main() -> None:
    """Read the command line and make, or try, the pages."""
    parser = argparse.ArgumentParser(description="make the notebooks from their sources")
    parser.add_argument("pages", nargs="*", help="beginnings of names, such as 11; default all")
    parser.add_argument("--toy", action="store_true", help="run small and write nothing")
    parser.add_argument("--text", action="store_true", help="renew the text, execute nothing")
    given = parser.parse_args()
    if given.toy:
        os.environ["VANISHING_JAX_TOY"] = "1"
        os.chdir(FOLDER)  # where Jupyter runs them
    for source in pages(given.pages):
        begin = time.monotonic()
        if given.toy:
            run_small(source)
            print(f"{source.stem}: {time.process_time():.1f} s of CPU so far", flush=True)
        else:
            make = renew_text if given.text else build
            size = make(source).stat().st_size / 1000
            print(f"{source.stem}: {time.monotonic() - begin:.0f} s, {size:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
