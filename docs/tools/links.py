"""Finds links of the built site that lead nowhere, anchors too: python docs/tools/links.py site.

MkDocs checks the links in Markdown; notebooks and the reference are HTML before it sees them.
"""

import pathlib
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links and the anchors of one page."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {"", "__top"}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Note what a tag links to and what it is called."""
        for name, value in attrs:
            if name in ("href", "src") and tag != "base":
                self.links.append(value or "")
            elif name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value or "")


def dead_links(site: pathlib.Path) -> list[str]:
    """Return the links within a built site that lead nowhere, as "page: link"."""
    pages = {path: Page(path.read_text()) for path in sorted(site.rglob("*.html"))}
    dead = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links are absolute
            continue
        for link in page.links:
            scheme, host, there, _, anchor = urlsplit(link)
            if scheme or host:
                continue
            target = (path.parent / unquote(there)).resolve() if there else path
            target = target / "index.html" if target.is_dir() else target
            known = pages[target].anchors if target in pages else {"", anchor}
            if not target.exists() or unquote(anchor) not in known:
                dead.append(f"{path.relative_to(site)}: {link}")
    return dead


def main() -> int:
    """Check the site in the folder that is named; say what is dead."""
    found = dead_links(pathlib.Path(sys.argv[1]).resolve())
    print("\n".join(found), file=sys.stderr)
    return len(found) > 0


if __name__ == "__main__":
    sys.exit(main())
