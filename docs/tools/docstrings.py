"""Makes code blocks of the doctests in docstrings, which Markdown would take for quotations."""

import griffe


def fenced(text: str) -> str:
    """Return a docstring whose doctests, up to the next blank line, stand between fences."""
    lines: list[str] = []
    inside = False
    for line in [*text.splitlines(), ""]:
        starts = line.lstrip().startswith(">>> ") and not inside
        if starts or (inside and not line.strip()):
            inside = starts
            fence = "```pycon" if starts else "```"
            lines.append(" " * (len(line) - len(line.lstrip())) + fence)
        lines.append(line)
    return "\n".join(lines[:-1])


class Doctests(griffe.Extension):
    """Applies `fenced` to every docstring that the reference shows."""

    def on_object(self, *, obj, **kwargs):
        """Change the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)
