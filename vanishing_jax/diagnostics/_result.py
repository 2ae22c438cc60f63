"""What every diagnosis has and does: a verdict, a rate; print, plot, save."""

import abc
import dataclasses
import json
import math
import os
import pathlib
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int

from .._files import write_atomically
from .._lazy import from_above
from .._repr_html import table_html
from ._effects import Effect
from ._gradient_rate import GradientRate, Rated
from ._kept import Directions
from ._text import labelled, short_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Keys of `to_dict` that are older than the name of the attribute: files hold them.
_KEYS = {"log_gradient_by_lag": "log_transport", "gone_at": "starved_at"}

Verdict = Literal["healthy", "vanishing", "exploding", "inconclusive"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class DiagnosisResult(Rated, abc.ABC):
    """The common part of the diagnoses of a cell, of a network and of layers."""

    unit: ClassVar[str] = "step"
    _TITLE: ClassVar[str] = "Gradient diagnosis"
    # Computed when first read: what `to_dict` has beside the fields.
    _WHEN_READ: ClassVar[tuple[str, ...]] = ()

    verdict: Verdict
    reason: str
    gradient_rate: GradientRate
    gradient_source: str

    @abc.abstractmethod
    def details(self) -> str:
        """Return all that there is to say, in labelled lines; what they need is computed."""

    def __str__(self) -> str:
        return labelled(self, short_rows(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.verdict}: {self.reason})"

    def _repr_html_(self) -> str:
        title = self.verdict.upper()
        return table_html(title, short_rows(self), verdict=self.verdict, caption=self.reason)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values; NaN and infinities become strings."""
        names = [f.name for f in dataclasses.fields(self) if f.name != "kept"]
        return _record(self, [*names, *self._WHEN_READ])

    def plot(self) -> "Figure":
        """Return the one-page figure: `plots.plot_diagnosis`, of a network `plots.plot_network`."""
        if hasattr(self, "parts"):
            return from_above("plots.plot_network")(self)
        return from_above("plots.plot_diagnosis")(self)

    def save(self, folder: str | os.PathLike) -> pathlib.Path:
        """Write `diagnosis.json`, `report.html` and the figures as PNG into `folder`; return it.

        The figures of each part of a network lie in a folder of its name; of layers there is
        `diagnosis.txt` in the place of the report. Each file is written beside its place and then
        moved there, so a failure leaves earlier results whole.
        """
        folder = pathlib.Path(folder)
        text = json.dumps(self.to_dict(), indent=1)
        write_atomically(folder / "diagnosis.json", text.encode())
        self._save_pages(folder)
        return folder

    def _save_pages(self, folder: pathlib.Path) -> None:
        from_above("report.save_report")(folder, self, title=self._TITLE)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ChainDiagnosis(DiagnosisResult):
    """The common part of the diagnoses of one chain of Jacobians, through time or depth."""

    lags: Int[np.ndarray, "time_plus_one"]
    log_gradient_by_lag: Float[np.ndarray, "batch time_plus_one"]
    causes: list[Effect]
    recommendations: list[Effect]
    effects: list[Effect]
    skipped: dict[str, str]

    @property
    @abc.abstractmethod
    def _directions(self) -> Directions: ...

    @property
    def surviving_directions(self) -> dict[int, float]:
        """Lag -> number of singular values above 1e-3."""
        return self._directions.surviving

    @property
    def log10_condition(self) -> dict[int, float]:
        """Lag -> log10 of the condition number."""
        return self._directions.log10_condition


def _record(value: Any, names: list[str]) -> dict[str, Any]:
    """Return the named attributes; a rate's own fields stand among them."""
    found: dict[str, Any] = {}
    for name in names:
        item = getattr(value, name)
        if isinstance(item, GradientRate):
            found |= _plain(item)
        else:
            found[_KEYS.get(name, name)] = _plain(item)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, bool | str | int) or value is None:
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, DiagnosisResult):
        return value.to_dict()
    if dataclasses.is_dataclass(value):
        # What is computed when read stays out: the bound of every lag costs several sweeps.
        names = [f.name for f in dataclasses.fields(value) if not f.name.startswith("_")]
        return _record(value, names)
    array = np.asarray(value)
    if np.iscomplexobj(array):
        return {"real": _plain(np.real(array)), "imag": _plain(np.imag(array))}
    return _plain(array.tolist())
