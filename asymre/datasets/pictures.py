r"""Whether a problem refers to a picture that its text does not hold.

A problem lacks its picture if

1. it links to an image (`![...](...)`, `\includegraphics`, `<img`, `[img]`, the address of an image file): a
   policy reads only text; or
2. it has no code of a picture (`[asy]...[/asy]`, TikZ and the like, which describe the drawing), and
   a. it has delimiters whose code was removed;
   b. it refers to a picture: "in the figure", "the diagram", "Figure 2", "the graph below";
   c. it refers to what is "shown", "the shaded region" or "the table below", and has neither a table nor a
      displayed formula that could be meant.

Not counted: "figure out", "significant figures", "a three-figure number", "the figure is rotated" (a shape
that the text describes), "a Venn diagram", "the graph below the x-axis", "the number shown" (by a die).
"""

import re

_LINK = re.compile(
    r"!\[[^\]]*\]\(|\\includegraphics|<img\b|\[img\b|cdn\.mathpix\.com"
    r"|https?://\S+\.(?:png|jpe?g|gif|svg|webp)\b",
    re.I,
)
_CODE = re.compile(
    r"\[asy\](?!\s*\[/asy\]).+?\[/asy\]|\\begin\{(asy|tikzpicture|picture)\}(?!\s*\\end\{).+?\\end\{\1\}",
    re.I | re.S,
)
_MARKS = re.compile(r"\[/?asy\]|\\(?:begin|end)\{(?:asy|tikzpicture|picture)\}", re.I)

_SCENE = r"(?:figures?|diagrams?|pictures?|drawings?|sketch|illustrations?)"
_GIVEN = r"(?:following|accompanying|adjacent|adjoining|attached|given)"
# Except for positions such as "below the x-axis".
_BESIDE = r"(?:shown|below|above|(?:at|on|to) (?:the )?(?:right|left))\b(?! (?:the|a|an|its)\b)"
_POINTS = re.compile(
    rf"\b(?:in|see|from) (?:the|this) (?:{_GIVEN} )?{_SCENE}\b(?! out\b)"
    r"|\b(?:the|this) (?:\w+ing )?diagram\b"
    rf"|\b{_GIVEN} {_SCENE}\b"
    r"|\b(?:the|this) (?:figure|picture|drawing|sketch|illustration) (?:shows|represents)\b"
    r"|\bsee (?:figure|fig\b|diagram|picture|drawing)"
    r"|(?<!\ba )\b(?:figure|fig\.?) ?\(?\d"
    rf"|(?<!significant )\b(?:{_SCENE}|images?|graphs?|map|grid) (?:is |are )?{_BESIDE}"
    r"|\b(?:graphed|plotted|depicted|pictured) (?:below|above|here)\b"
    r"|\bbelow (?:is|are) (?:a |the |an )?(?:portion of )?(?:the )?(?:graphs?|picture|figure|diagram)\b",
    re.I,
)
_NOT_DRAWN = r"(?:numbers?|times?|digits?|faces?|values?|results?|is|are|be|been|was|were|has|have|had)"
_SHOWN = re.compile(
    r"\b(?:as|is|are) (?:shown|pictured|illustrated)"
    r"(?=[ ]?(?:[.,;:?)]|$|below|above|here|at|on|to the|in the))"
    r"|\b(?:shown|drawn) (?:below|above|here)\b|\bshown (?:at|on|to) (?:the )?(?:right|left)\b"
    rf"|\b(?!{_NOT_DRAWN}\b)\w+\$?,? shown(?=[,.?;]| (?:is|are|was|were)\b)"
    rf"|\b(?:table|chart|plot) (?:is |are )?{_BESIDE}"
    r"|\bthe (?:non-?|un)?shaded\b",
    re.I,
)
_DISPLAYED = re.compile(r"\\begin\{|\\\[|\$\$|\|[^|\n]*\|[^|\n]*\|")


def lacks_picture(problem: str) -> bool:
    """Return whether the problem needs a picture, by the rule above, that its text does not hold."""
    if _LINK.search(problem):
        return True
    if _CODE.search(problem):
        return False
    text = " ".join(problem.split())
    if _MARKS.search(text) or _POINTS.search(text):
        return True
    return bool(_SHOWN.search(text)) and not _DISPLAYED.search(problem)
