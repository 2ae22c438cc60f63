"""Diagnoses, comparisons, claims and the table of mitigations as self-contained HTML and PNG."""

from ._claims import claims_html as claims_html
from ._claims import claims_markdown as claims_markdown
from ._claims import claims_table as claims_table
from ._claims import write_claims as write_claims
from ._comparison import save_comparison_figures as save_comparison_figures
from ._comparison import write_comparison as write_comparison
from ._figures import save_figures as save_figures
from ._html import write_report as write_report
from ._mitigation_table import mitigation_html as mitigation_html
from ._mitigation_table import mitigation_markdown as mitigation_markdown
from ._mitigation_table import write_mitigation_table as write_mitigation_table
