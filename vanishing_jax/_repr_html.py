"""Results as small pieces of HTML for notebooks: no file beside them, no script."""

import html
from collections.abc import Iterable

# Mid tones: readable on white and on black. All else has the color of the page around.
_COLORS = {
    "healthy": "#1a9e74",
    "vanishing": "#3b82c4",
    "exploding": "#d9692a",
    "inconclusive": "#808891",
}
_CELL = "padding:1px 14px 1px 0;text-align:left;vertical-align:top;background:none;border:0"


def table_html(
    title: str, rows: Iterable[tuple[str, str]], *, verdict: str = "", caption: str = ""
) -> str:
    """Return labelled lines under a title as HTML, all texts escaped."""
    color = f"color:{_COLORS[verdict]};" if verdict in _COLORS else ""
    parts = [
        f'<div style="font-size:14px;line-height:1.5"><div style="{color}font-weight:600">'
        f"{html.escape(title)}</div>"
    ]
    if caption:
        parts.append(f"<div>{html.escape(caption)}</div>")
    # A table inherits neither color nor size by itself in pages without a doctype.
    parts.append(
        '<table style="color:inherit;font-size:inherit;border-collapse:collapse;margin:4px 0;'
        'border:0"><tbody>'
    )
    for label, text in rows:
        parts.append(
            f'<tr style="background:none"><th scope="row" style="{_CELL};opacity:.7;'
            f'font-weight:400;white-space:nowrap">{html.escape(label)}</th>'
            f'<td style="{_CELL}">{html.escape(text)}</td></tr>'
        )
    return "".join([*parts, "</tbody></table></div>"])
