"""Diagnoses and comparisons as self-contained HTML and PNG."""

from ._comparison import save_comparison_figures as save_comparison_figures
from ._comparison import write_comparison as write_comparison
from ._figures import save_figures as save_figures
from ._html import save_report as save_report
from ._html import write_report as write_report
