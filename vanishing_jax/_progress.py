"""A progress bar for what takes longer than two seconds, with an estimate of what is left."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")


def progress(total: int, what: str, unit: str = "step") -> Any:
    """Return a tqdm bar over `total` units; it appears after two seconds and leaves nothing."""
    from tqdm import tqdm  # where it is used: importing it takes as long as a small spectrum

    return tqdm(total=total, desc=what, unit=unit, delay=2.0, leave=False)


def with_progress(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Yield the items under such a bar."""
    with progress(len(items), what, "") as bar:
        for item in items:
            yield item
            bar.update()
