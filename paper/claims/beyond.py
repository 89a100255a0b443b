"""Claims about figure B: AsymRE against other objectives off-policy, all from one base policy."""

from dataclasses import replace

import pandas as pd

from paper.claims import training
from paper.claims.runs import at, of
from paper.claims.verdict import Claim, Row
from paper.specs import ClaimsSpec

BETTER = Claim(
    "B",
    "AsymRE ends better than {name} at delta_v = {delta_v}",
    "ours; figure B",
    "test accuracy, AsymRE - other, mean of the last three evaluation points",
    training.SIGN_FLIP,
    "accuracy",
    1,
    margin=training.MARGIN,
)


def beyond_rows(runs: pd.DataFrame, spec: ClaimsSpec) -> list[Row]:
    """Return rows of figure B, each objective at the best of its own learning rates.

    runs: from `runs.summaries`; spec: `objectives` gives label and takes_delta_v of each.
    """
    off_policy = runs[runs["best"] & runs["refreshed"] & (runs["N"] > 1)]
    rows = []
    for (_, _, N), own in off_policy.groupby(["model", "dataset", "N"]):
        for objective in sorted(set(own["objective"]) - {"asymre"}):
            other, name = of(own, objective), spec.objectives[objective].label
            for delta_v in sorted(other["delta_v"].dropna().unique()) or [training.RECOMMENDED]:
                statement = BETTER.statement.format(name=name, delta_v=f"{delta_v:.12g}")
                compared = at(other, delta_v) if other["delta_v"].notna().any() else other
                pair = at(of(own, "asymre"), delta_v), compared
                claim = replace(BETTER, statement=statement)
                rows.append(training.difference_row(claim, *pair, "final_test", (True, N), spec))
    return rows
