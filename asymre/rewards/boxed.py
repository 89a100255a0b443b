"""The final answer of a completion. Linear in the length of the text and evaluates nothing: safe on any."""

import re

_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*")
_ESCAPE_OR_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
# `\boxed 5` has no braces; its content ends where its formula or its line does.
_END_OF_FORMULA = re.compile(r"\$|\n|\\\)|\\\]")

# Two boxes of one answer are joined by a comma or a word, and at most the name of the next value.
_GAP = r"(?:[ \t~$]|\\[()!,;: ]|\\q?quad(?![a-zA-Z])){0,20}"
_WORD = r"(?:(?:and|or)(?![a-zA-Z])|\\(?:text|mbox|mathrm) ?\{ *(?:and|or) *\})"
_NAME = r"[a-zA-Z](?:_\w)? ?= ?"
_JOINT = re.compile(rf"{_GAP}(?:,{_GAP}{_WORD}?|{_WORD}){_GAP}(?:{_NAME})?")
_NAME_BEFORE = re.compile(rf"(?<![a-zA-Z0-9_^}}\\]){_NAME}\Z")


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}`, `\fbox{...}` or `\boxed 5`, without outer spaces.

    Boxes separated from the last one only by a comma, "and" or "or", on one line, are one answer with it:
    `$x=\boxed{2}$ or $x=\boxed{5}$` gives `x=2 or x=5`. Of all other boxes only the last counts, because it
    may correct the others. None if there is no box, if one is empty, or if its braces do not balance. Of
    nested boxes the innermost counts.
    """
    boxes = [match.span() for match in _BOX.finditer(text)]
    answer: list[str] = []  # from the last box to the first, with what joins them
    limit = len(text)
    for start, inside in reversed(boxes):
        content, end = _content(text, inside, limit)
        if answer:
            if end is None or not _JOINT.fullmatch(text, end, limit):
                break
            answer.append(text[end:limit].replace("$", ""))
        if content is None:
            return None
        answer.append(content)
        limit = start
    if len(answer) > 1 and (name := _NAME_BEFORE.search(text[max(0, limit - 20) : limit])):
        answer.append(name[0])
    return "".join(reversed(answer)) or None


def _content(text: str, inside: int, limit: int) -> tuple[str | None, int | None]:
    """Return the content of a box, None if it is empty, and its end, None if its braces do not balance."""
    if text[inside : inside + 1] != "{":
        found = _END_OF_FORMULA.search(text, inside, limit)
        end = found.start() if found else limit
        return text[inside:end].strip() or None, end
    depth = 0
    for match in _ESCAPE_OR_BRACE.finditer(text, inside, limit):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return text[inside + 1 : match.start()].strip() or None, match.end()
    return None, None
