"""What MkDocs does not do by itself: pages that live elsewhere, their links, and the reference.

- Pages and figures listed under `extra.mounts` of mkdocs.yml join the site from where they are.
- A link from file to file, right in the repository, becomes a link from page to page, or to the
  file in the repository where it is no page.
- The reference has one page per namespace, with every public name; one without a docstring fails
  the build.
"""

import functools as ft
import html
import inspect
import pathlib
import posixpath
import re
import types

from docstrings import fenced
from mkdocs.exceptions import PluginError
from mkdocs.plugins import CombinedEvent, event_priority
from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url
from public_names import names, namespaces, undocumented

ROOT = pathlib.Path(__file__).parents[2]
_CODE = re.compile(r"(^ *```.*?^ *```|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)]*)?\))")
_HREF = re.compile(r'((?:href|src)=")([^"#:]+)((?:#[^"]*)?")')


def on_config(config):
    """Put the pages of the reference into the navigation."""
    for section in config.nav:
        if "Reference" in section:
            section["Reference"] = [{title: page} for page, (title, _) in reference().items()]


@event_priority(100)  # before the plugin for notebooks looks for them
def _add_pages(files, config):
    """Add the pages from elsewhere and the reference."""
    for source, page in mounted(config.extra["mounts"]).items():
        if page not in files.src_uris:
            files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for page, (_, text) in reference().items():
        files.append(File.generated(config, page, content=text))


@event_priority(-100)
def _keep_paths(files, config):
    """Tell the wrapper that the plugin puts around a notebook where that notebook is."""
    for file in files:
        file.abs_src_path = getattr(file, "file", file).abs_src_path


on_files = CombinedEvent(_add_pages, _keep_paths)


def mounted(mounts) -> dict[str, str]:
    """Return where on the site each file from elsewhere goes; of several places the first."""
    found: dict[str, str] = {}
    for pattern, target in mounts:
        for path in sorted(ROOT.glob(pattern)):
            page = target + path.name if target.endswith("/") else target
            found.setdefault(path.relative_to(ROOT).as_posix(), page)
    return found


def on_page_markdown(markdown, page, config, files):
    """Turn the links of a Markdown page."""
    parts = _CODE.split(markdown)
    for i in range(0, len(parts), 2):
        parts[i] = _LINK.sub(lambda link: _turned(link, page, config, files, False), parts[i])
    return "".join(parts)


def on_page_content(content, page, config, files):
    """Turn the links of a notebook, which is HTML when MkDocs sees it."""
    if not page.file.src_uri.endswith(".ipynb"):
        return content
    return _HREF.sub(lambda link: _turned(link, page, config, files, True), content)


def _turned(link, page, config, files, as_url: bool) -> str:
    before, target, after = link.groups()
    pages = mounted(config.extra["mounts"])
    places = {page: source for source, page in pages.items()}
    here = page.file.src_uri
    place = places.get(here, f"docs/{here}")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(place), html.unescape(target)))
    there = pages.get(path, path.removeprefix("docs/"))
    if files.get_file_from_path(there) and (path in pages or path.startswith("docs/")):
        if as_url:
            new = get_relative_url(files.get_file_from_path(there).url, page.url)
        else:
            new = posixpath.relpath(there, posixpath.dirname(here) or ".")
    elif (ROOT / path).exists():
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        new = f"{config.repo_url.rstrip('/')}/{kind}/main/{path}"
    else:
        return link.group()  # MkDocs, or docs/tools/links.py, finds that it leads nowhere
    return f"{before}{new}{after}"


@ft.cache
def reference() -> dict[str, tuple[str, str]]:
    """Return the pages of the reference: path -> title and text."""
    pages, index = {}, ["# Reference", "", "| namespace | names |", "|---|---|"]
    for title, module in namespaces():
        found = names(module)
        page = f"{title.replace('.', '_')}.md"
        pages[f"reference/{page}"] = (title, _page(title, module))
        links = ", ".join(f"[`{name}`][{module.__name__}.{name}]" for name in found)
        index.append(f"| [`{title}`]({page}) | {links} |")
    return {"reference/index.md": ("Overview", "\n".join(index) + "\n"), **pages}


def _page(title: str, module: types.ModuleType) -> str:
    missing = undocumented(module)
    if missing:
        raise PluginError(f"{title} has public names without a docstring: {', '.join(missing)}")
    lines = [f"# `{title}`", "", fenced(inspect.getdoc(module) or ""), ""]
    for name in names(module):
        lines += [f"::: {module.__name__}.{name}", ""]
    return "\n".join(lines)
