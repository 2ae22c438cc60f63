"""The HTML report: one file that needs nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._files import write_atomically
from ._content import report_content
from ._figures import drawn_once, save_figures


def write_report(
    path: str | Path,
    diagnoses: Any,
    *,
    title: str,
    configuration: Mapping[str, Any] | None = None,
    table: Sequence[Mapping[str, Any]] | None = None,
) -> Path:
    """Write one or several diagnoses as one self-contained HTML file; return its path.

    Figures are embedded, styles are inline, there are no scripts and no requests: the file can be
    mailed, archived or printed, and reads on a phone. With several diagnoses it begins with a table
    and a figure that compare them. An earlier file is replaced at once or not at all.

    **Arguments:**

    - `path`: the file to write; its folder is made when missing.
    - `diagnoses`: a `Diagnosis`, a dict from label to `Diagnosis`, or a `NetworkDiagnosis`: the
      page then begins with the network as a whole, and each part has its section.
    - `title`: the heading.
    - `configuration`: what was run, for the table at the end; nested mappings get dotted names.
    - `table`: further results, one mapping from column to value per row.

    **Returns:** the path.

    **Raises:** `ValueError` when there is no diagnosis to report.
    """
    if isinstance(diagnoses, Mapping) and not diagnoses:
        raise ValueError("expected at least one diagnosis to report; got an empty dict.")
    content = report_content(diagnoses, title=title, configuration=configuration, table=table)
    html = load_template("template.html.j2").render(content)
    return write_atomically(Path(path), html.encode("utf-8"))


def save_report(folder: str | Path, diagnoses: Any, *, title: str) -> list[Path]:
    """Write the figures of `save_figures` and `report.html` into a folder, each figure drawn once.

    **Arguments:**

    - `folder`: made when missing.
    - `diagnoses`, `title`: as in `write_report`.

    **Returns:** the paths, the report last.
    """
    with drawn_once():
        figures = save_figures(folder, diagnoses)
        return [*figures, write_report(Path(folder, "report.html"), diagnoses, title=title)]


def load_template(name: str, beside: str = __file__) -> Any:
    """Return a template by its file name, from the folder of a module or else from this one."""
    import jinja2

    folders = [str(Path(one).parent) for one in (beside, __file__)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,  # labels, names and configuration come from users
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
