"""The final answer of a completion. Linear in the length of the text and evaluates nothing: safe on any."""

import re

from asymre.rewards.writing import number, tidy

_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*")
_ESCAPE_OR_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
# `\boxed 5` has no braces; its content ends where its formula or its line does.
_END_OF_FORMULA = re.compile(r"\$|\n|\\\)|\\\]")

# Two boxes of one answer are joined by a comma or a word, and at most the name of the next value.
_NAME = r"[a-zA-Z](?:_(?:[a-zA-Z0-9]|\{[a-zA-Z0-9]{1,9}\}))?'?"
_GAP = r"(?:[ \t~$]|\\[()!,;: ]|\\q?quad(?![a-zA-Z])){0,20}"
_WORD = r"(?:(?:and|or)(?![a-zA-Z])|\\(?:text|textrm|mbox|mathrm) ?\{[ ~]*,?[ ~]*(?:and|or)?[ ~]*\})"
_JOINT = re.compile(rf"{_GAP}(?:[,;]{_GAP}{_WORD}?|{_WORD}){_GAP}(?:({_NAME}) ?= ?)?")
_LONG = 200  # characters: no joint between two boxes, and no two forms of a number, are longer
_OR = re.compile("(?<![a-zA-Z])or(?![a-zA-Z])")
_NAME_BEFORE = re.compile(rf"(?<![a-zA-Z0-9_^}}]) ?({_NAME}) ?= ?\Z")


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}`, `\fbox{...}` or `\boxed 5`, without outer spaces.

    Boxes separated from the last one only by a comma, "and" or "or", on one line, are one answer with it:
    `x=\boxed{2}` or `x=\boxed{5}` gives `x=2 \text{ or } x=5`. If they are one number in several forms, the
    last of them counts. Of all other boxes only the last counts, because it may correct the others. None if
    there is no box, if one is empty, or if its braces do not balance. Of nested boxes the innermost counts.
    """
    boxes = [match.span() for match in _BOX.finditer(text)]
    answer: list[str] = []  # from the last box to the first, each with the joint that follows it
    last, limit = "", len(text)
    for start, inside in reversed(boxes):
        content, end = _content(text, inside, limit)
        if answer:
            joint = _JOINT.fullmatch(text, end, limit) if end is not None and limit - end < _LONG else None
            if joint is None:
                break
            answer[-1] = f"{joint[1]}={answer[-1]}" if joint[1] else answer[-1]
            answer.append(r" \text{ or } " if _OR.search(joint[0]) else ", ")
        if content is None:
            return None
        last = last or content
        answer.append(content)
        limit = start
    if not answer:
        return None
    values = {number(tidy(each)) for each in answer[::2]} if sum(map(len, answer)) < _LONG else {None}
    if len(answer) == 1 or len(values) == 1 and None not in values:
        return last  # "15\frac{39}{40} or \frac{639}{40}" is one answer in two forms
    if name := _NAME_BEFORE.search(text[max(0, limit - 20) : limit]):
        answer[-1] = f"{name[1]}={answer[-1]}"
    return "".join(reversed(answer))


def _content(text: str, inside: int, limit: int) -> tuple[str | None, int | None]:
    """Return the content of the box that begins at `inside`, None if it is empty, and where it ends.

    Nothing after `limit` is read. The end is None if the braces do not balance.
    """
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
