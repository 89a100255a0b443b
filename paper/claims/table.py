"""The table of claims as CSV, Markdown and HTML, and a summary of it in reStructuredText."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from docutils.core import publish_string

from paper.claims.training import MARGIN
from paper.claims.verdict import EQUAL, FAILS, HOLDS, LEVEL, OPEN, Row
from paper.specs import ClaimsSpec

COLUMNS = ["claim", "statement", "where", "tested on", "effect [95 %]", "p", "verdict"]
WIDTHS = [5, 22, 9, 36, 14, 5, 9]
TITLES = {
    "claims": "The paper's claims",
    "claims_seeds": "The statements of the abstract, and ours, each pair with a base policy of its own",
    "claims_beyond": "Beyond the paper: other objectives, given one base policy",
}
TOPICS = {
    "1": "the limit policy",
    "2": "policy improvement",
    "3": "finite steps with V near the mean reward",
    "4": "stable below delta_v = 0, collapse from 0 on",
    "5": "delta_v = 0 against -0.1",
    "6": "AsymRE against GRPO",
    "7": "entropy",
    "8": "the second data set and the third model",
    "A": "on-policy against off-policy",
    "B": "objectives side by side",
    "D": "rarely solved problems",
    "T": "tapered AsymRE",
}
WORDS = {
    HOLDS: f"the test decides for the statement (corrected p below {LEVEL:g}, and the 95 % interval of the "
    "effect without the null), or a theorem's check finds no exception.",
    FAILS: "the test decides against it (the same, with an effect of the other sign), or a theorem's check "
    "finds one.",
    EQUAL: f"the whole 95 % interval lies within {MARGIN:g} of no difference.",
    OPEN: "everything else: too few runs, too much noise, no effect to see, or no such runs.",
}
NOTES = [
    "Every measure, margin and test is in the code (paper/claims). They were fixed before these runs, with "
    "the figures of earlier ones known.",
    "A run falls when its accuracy is below half of its own running maximum and below the base policy's at "
    "two evaluation points in a row; the step is the first of them. The fall is a dip if the run recovers: "
    "its last three evaluation points are, in the mean, above one of the two again. Otherwise it is a "
    "collapse. A run that diverged (NaN) has collapsed. Test accuracy unless the row says training "
    "accuracy.",
    "First cycle: the steps until the behaviour policy is refreshed for the first time. Means over steps are "
    "areas under the line through the evaluation points.",
    "Intervals are 95 %, uncorrected: Clopper and Pearson for shares, Student's over blocks for means. "
    "Tests are two-sided; p is corrected by Holm over the tests of a family: claims 1 to 7, claim 8, or the "
    "claims about one figure. Checks of theorems are counts, not tests.",
    "A row whose test could not reach 5 % whatever its runs did (three pairs, for example) is not decided "
    "and does not count as a test; its p, uncorrected, is in brackets. The correction for all tests of a "
    "family can put a decision out of reach of others too: seven pairs cannot decide nine rows.",
    "A block is a seed of one model on one data set; runs are paired and ordered only within blocks. A row "
    "that names several models or data sets pools their blocks, is about their average, and gives each "
    "part's own effect in brackets.",
    "Order tests permute the values of delta_v within each block. The effect is the difference of the two "
    "neighbouring values that support the order least: one end alone makes no order. Blocks that lack a "
    "value are left out.",
]
SHARED = (
    "Every row is about the base policies that made it, and no others: all runs of a model share one, and "
    "runs of one seed the rollouts of cycle 0, while tests that count runs treat them as independent. The "
    "table with a base policy for each pair is claims_seeds."
)
OWN = "Each seed has a base policy of its own; all runs of the seed share it, and the rollouts of cycle 0."
STAND_INS = (
    "Models and data sets are small stand-ins for the paper's: nothing here is a statement about the paper's "
    "scale."
)
CALIBRATED = (
    "Learning rates were calibrated, on seeds that no claim uses: claims that compare objectives (6, B, T) "
    "have each at the best of its own rates, all others AsymRE at the rate of the sweeps over delta_v."
)


FIELDS = {
    "claim": lambda row: row.number,
    "statement": lambda row: row.claim.statement,
    "source": lambda row: row.claim.source,
    "subject": lambda row: row.subject,
    "measure": lambda row: row.claim.measure,
    "runs": lambda row: row.runs,
    "seeds": lambda row: row.seeds,
    "test": lambda row: row.claim.test,
    "stated": lambda row: {1: "above", -1: "below"}[row.claim.direction],
    "null": lambda row: row.estimate.null if row.claim.bound is None else row.claim.bound,
    "effect": lambda row: row.estimate.effect,
    "low": lambda row: row.estimate.low,
    "high": lambda row: row.estimate.high,
    "unit": lambda row: row.claim.unit,
    "p": lambda row: row.estimate.p if row.claim.bound is None else np.nan,
    "smallest_p": lambda row: row.estimate.smallest_p if row.claim.bound is None else np.nan,
    "p_corrected": lambda row: row.p_corrected,
    "detail": lambda row: row.detail,
    "parts": lambda row: row.parts,
    "verdict": lambda row: row.verdict,
}


def frame(rows: list[Row]) -> pd.DataFrame:
    """Return one row per claim and subject, with every field."""
    return pd.DataFrame({name: [field(row) for row in rows] for name, field in FIELDS.items()})


def cells(row: Row) -> list[str]:
    """Return the cells of COLUMNS, as plain text."""
    tested = "; ".join(part for part in (row.claim.measure, row.runs, row.seeds, row.claim.test) if part)
    return [
        row.number,
        row.claim.statement,
        row.claim.source,
        f"{row.subject}: {tested}",
        _effect(row),
        _p(row),
        row.verdict,
    ]


def _effect(row):
    e = row.estimate
    if np.isnan(e.effect):
        return "none"
    interval = "" if np.isnan(e.low) else f" [{_number(e.low)}, {_number(e.high)}]"
    parts = f" ({row.parts})" if row.parts else ""
    return f"{_number(e.effect)}{interval} {row.claim.unit}{parts}"


def _number(value):
    if 0 < abs(value) < 1e-12:
        return "below 1e-12"  # rounding
    return f"{value:.3f}" if 1e-3 <= abs(value) < 10 or value == 0 else f"{value:.3g}"


def _p(row):
    if row.claim.bound is not None or np.isnan(row.estimate.p):
        return ""
    return f"{row.p_corrected:.2g}" if row.tested else f"({row.estimate.p:.2g})"


def _notes(spec):
    rewards = spec.rewards
    own = len({run.base_seed for run in spec.runs}) > 1
    units = f"delta_v is in units of the rewards, {rewards.correct:+g} and {rewards.wrong:+g}."
    notes = [*NOTES, OWN if own else SHARED, *([spec.note] if spec.note else []), units]
    return notes + ([STAND_INS, CALIBRATED] if spec.stand_ins else [])


def _title(spec):
    return f"{TITLES[spec.table]}, scale {spec.scale}"


def _summary(rows):
    counts = [f"{sum(row.verdict == word for row in rows)} {word}" for word in WORDS]
    return f"{len(rows)} rows: {', '.join(counts)}."


def markdown(rows: list[Row], spec: ClaimsSpec, notes: Sequence[str] = ()) -> str:
    """Return the page as GitHub shows it. notes: more of them."""
    lines = [f"# {_title(spec)}", "", _summary(rows), ""]
    lines += [f"- *{word}*: {text}" for word, text in WORDS.items()]
    lines += ["", _md_line(COLUMNS), "|" + "---|" * len(COLUMNS)]
    lines += [_md_line([*cells(row)[:-1], f"**{row.verdict}**"]) for row in rows]
    lines += ["", "## Notes", "", *(f"- {escaped(note)}" for note in [*_notes(spec), *notes])]
    return "\n".join(lines) + "\n"


def _md_line(texts):
    bold = [text if text.startswith("**") else escaped(text) for text in texts]
    return "| " + " | ".join(bold) + " |"


def escaped(text: str) -> str:
    """Return text for Markdown in which no character marks anything up."""
    return re.sub(r"([|*_<>])", r"\\\1", text)


def html(rows: list[Row], spec: ClaimsSpec, notes: Sequence[str] = ()) -> str:
    """Return the same page for Snakemake's report, complete in one file."""
    title = _rst(_title(spec))
    lines = [title, "=" * len(title), "", _rst(_summary(rows)), ""]
    lines += [f"- *{word}*: {_rst(text)}" for word, text in WORDS.items()]
    table = [COLUMNS, *([*map(_rst, cells(row)[:-1]), f"**{row.verdict}**"] for row in rows)]
    lines += ["", *_list_table(table, WIDTHS)] if rows else []
    lines += ["", "Notes", "-----", "", *(f"- {_rst(note)}" for note in [*_notes(spec), *notes])]
    settings = {"report_level": 1, "halt_level": 2, "_disable_config": True}
    return publish_string("\n".join(lines), writer="html5", settings_overrides=settings).decode()


def first_page(rows: list[Row], spec: ClaimsSpec) -> str:
    """Return a summary in reStructuredText for the first page of the report, which shows one screenful."""
    title = _rst(_title(spec))
    lines = [title, "=" * len(title), "", _rst(_summary(rows)), "Every row stands under *Claims*.", ""]
    table = [["claims", *WORDS]]
    for first in dict.fromkeys(row.number[0] for row in rows):
        own = [row.verdict for row in rows if row.number[0] == first]
        table.append([f"{first}: {TOPICS[first]}", *(str(own.count(word) or "") for word in WORDS)])
    lines += [*_list_table(table, [3] + [1] * len(WORDS)), ""] if rows else []
    lines += [STAND_INS] if spec.stand_ins else []
    return "\n".join(lines) + "\n"


def _list_table(table, widths):
    yield from (".. list-table::", "   :header-rows: 1", f"   :widths: {' '.join(map(str, widths))}", "")
    for texts in table:
        yield from (f"   {'*' if i == 0 else ' '} - {text}".rstrip() for i, text in enumerate(texts))


def _rst(text):
    # An @ would turn pass@k into a mail address, and a ( at the start of a cell (0.25) into an enumeration.
    return re.sub(r"([\\*_|`@]|^\()", r"\\\1", text)
