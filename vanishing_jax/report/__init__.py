"""Diagnoses as a self-contained HTML report and as PNG files."""

from ._figures import save_figures as save_figures
from ._html import write_report as write_report
