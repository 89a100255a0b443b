"""The lineage of a result: every folder upstream of it, from what each job recorded of what it read."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path
from typing import Any

from store.artefact import RECORD
from store.record import Damaged, read_spec

DIGITS = 12
NOT_KEPT = "not kept"
STYLE = """body { font-family: sans-serif; font-size: 14px; margin: 1.5em; color: #222; }
table { border-collapse: collapse; margin-bottom: 1.5em; }
td, th { text-align: left; vertical-align: top; padding: 2px 12px 2px 0; border-bottom: 1px solid #ddd; }
td:nth-child(3) { font-family: monospace; }
tr:target { background: #ffefb0; }"""


@dataclass
class Link:
    """One folder upstream of a result."""

    path: str  # below results/<name>/
    contents: list[str] = field(default_factory=list)  # as its readers recorded them; normally one
    inputs: list[str] = field(default_factory=list)  # paths
    made: dict[str, Any] = field(default_factory=dict)  # its record, if it is there
    state: str = ""  # or why there is no more to say of it


def follow(result: str, read: Callable[[str], tuple[dict[str, Any], str]]) -> list[Link]:
    """Return the links from a result's path, each before the folders that it was made from.

    read: specification of a path ({} if there is none to read) and the state of its folder.
    """
    links, todo = {result: Link(result)}, [result]
    while todo:
        link = links[todo.pop()]
        spec, link.state = read(link.path)
        link.made = spec.get(RECORD, {})
        for path, content in sorted(link.made.get("inputs", {}).items()):
            if path not in links:
                links[path] = Link(path)
                todo.append(path)
            if content not in links[path].contents:
                links[path].contents.append(content)
            link.inputs.append(path)
    return _downstream_first(links)


def _downstream_first(links: dict[str, Link]) -> list[Link]:
    """Sort kind by kind, by the longest way from the result to one of the kind."""
    depth = dict.fromkeys(links, 0)
    readers_first = reversed(
        list(TopologicalSorter({p: link.inputs for p, link in links.items()}).static_order())
    )
    for path in readers_first:
        for read in links[path].inputs:
            depth[read] = max(depth[read], depth[path] + 1)
    kinds: Counter[str] = Counter()
    for path in links:
        kinds[_kind(path)] = max(kinds[_kind(path)], depth[path])
    return sorted(links.values(), key=lambda link: (kinds[_kind(link.path)], _kind(link.path), link.path))


def read_link(results: Path, checkpoints_of: str, path: str) -> tuple[dict[str, Any], str]:
    """Return, for `follow`, the specification of a folder and its state.

    checkpoints_of: the kind whose jobs write checkpoints; where one is gone, the artefact's record tells what
    its job read.
    """
    kind, _, id = path.partition("/")
    state = "" if (results / path).exists() else NOT_KEPT
    for folder in filter(None, (kind, checkpoints_of)):
        try:
            return read_spec(results / folder / id), state
        except Damaged:
            state = state or "damaged"
    return {}, state


def _kind(path: str) -> str:
    return path.partition("/")[0]


def page(title: str, content: str, links: list[Link]) -> str:
    """Return the links as one HTML page. content: of the result itself, which no job has read."""
    links[0].contents = [content]
    numbers = {link.path: number for number, link in enumerate(links, start=1)}
    lines = [
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}: what it was made from</h1>",
        "<p>Each folder once, the result first. The content is the beginning of a SHA-256 over the names "
        "and hashes of a folder's files, as recorded when it was read.</p>",
    ]
    kind = None
    for link in links:
        if _kind(link.path) != kind:
            lines += ["</table>"] if kind else []
            kind = _kind(link.path)
            lines.append(f"<h2>{escape(kind)}</h2>\n<table><tr><th></th><th>folder</th><th>content</th>")
            lines.append("<th>made from</th></tr>")
        lines.append(_row(link, numbers))
    lines += ["</table>", "<h2>machines and packages</h2>", "<table>"]
    lines += [f"<tr><td>{escape(line)}</td></tr>" for line in _makers(links)]
    return "\n".join([*lines, "</table></body></html>"]) + "\n"


def _row(link: Link, numbers: dict[str, int]) -> str:
    number = numbers[link.path]
    read = " ".join(f'<a href="#n{n}">{n}</a>' for n in sorted(numbers[path] for path in link.inputs))
    contents = " and ".join(content[:DIGITS] for content in link.contents)
    cells = [str(number), link.path.partition("/")[2], contents]
    state = f"({link.state})" if link.state else ""
    row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr id="n{number}">{row}<td>{read} {escape(state)}</td></tr>'


def _makers(links: list[Link]) -> list[str]:
    """Return what made the folders, each once: machine, Python, packages, and the number of folders."""
    lines: Counter[str] = Counter()
    for link in links:
        if link.made:
            machine = ", ".join(f"{value}" for value in link.made["machine"].values())
            packages = ", ".join(f"{name} {version}" for name, version in link.made["packages"].items())
            lines["; ".join(filter(None, [machine, f"Python {link.made['python']}", packages]))] += 1
    return [f"{count} folder{'s' * (count > 1)}: {line}" for line, count in lines.items()]
