"""Stable names: where a figure or a table of claims is published."""

import re

PUBLISHED = ("pdf", "png", "csv", "txt", "lineage.html")  # files of a published figure, by suffix
PUBLISHED_CLAIMS = ("csv", "md", "html", "rst")  # files of a table of claims


def stem(figure: str) -> str:
    """Return the stem of a figure's published files: `figure_3` becomes `figure_03`, so that they sort."""
    return re.sub(r"(?<=_)(\d)$", r"0\1", figure)


def published_files(name: str) -> list[str]:
    """Return the paths below results/<name>/ where a figure, or a table of claims, is published."""
    if name.startswith("claims"):
        return [f"{name}.{suffix}" for suffix in PUBLISHED_CLAIMS]
    return [f"figures/{stem(name)}.{suffix}" for suffix in PUBLISHED]
