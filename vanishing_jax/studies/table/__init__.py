"""The summary table of causes of vanishing gradients and mitigations, every entry measured."""

from ._grid import CAUSES as CAUSES
from ._grid import Cause as Cause
from ._grid import Context as Context
from ._grid import Entry as Entry
from ._mitigation_table import mitigation_table as mitigation_table
from ._pages import write_mitigation_table as write_mitigation_table
