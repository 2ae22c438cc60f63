"""Diagnoses as a self-contained HTML report and as PNG files; the table of mitigations."""

from ._figures import save_figures as save_figures
from ._html import write_report as write_report
from ._mitigation_table import mitigation_html as mitigation_html
from ._mitigation_table import mitigation_markdown as mitigation_markdown
from ._mitigation_table import write_mitigation_table as write_mitigation_table
