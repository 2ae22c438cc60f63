"""What is commonly said about vanishing gradients, put to the test with the rest of the package.

`claims` are the sentences of an article, `table` is its summary table of causes and mitigations.
All of a study is in its folder: experiments, verdicts, pages, templates and drawings. A diagnosis
needs nothing from here, and only the command line imports it.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from . import claims as claims
    from . import table as table
    from .table import mitigation_table as mitigation_table
else:
    __getattr__, __dir__, __all__ = lazy(__name__)
