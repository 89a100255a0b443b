"""The accuracy of real data by two graders: this project's verifier and math-verify's defaults."""

from collections.abc import Sequence

import pandas as pd

from paper.specs import ClaimedRun

COLUMNS = ["accuracy", "accuracy_math_verify", "share_math_verify_alone", "share_verifier_alone"]


def grader_notes(
    runs: Sequence[ClaimedRun], evaluations: dict[str, pd.DataFrame], datasets: dict[str, str]
) -> list[str]:
    """Return a note for each data set whose evaluations have both verdicts; none for stand-ins.

    evaluations: by `ClaimedRun.input`. datasets: names by key.
    """
    notes = []
    for dataset in dict.fromkeys(run.dataset for run in runs):
        own = [evaluations[run.input] for run in runs if run.dataset == dataset]
        tests = [table[table["split"] == "test"] for table in own if {*COLUMNS} <= {*table.columns}]
        if tests:
            ends = [test.loc[test["step"] == test["step"].max(), COLUMNS].mean() for test in tests]
            ours, theirs, they_alone, we_alone = pd.DataFrame(ends).mean()
            notes.append(
                f"Graders: on the test problems of {datasets[dataset]}, mean over the ends of {len(ends)} "
                f"runs, the accuracy is {ours:.3f} by the verifier that rewards and {theirs:.3f} by "
                f"math-verify with its defaults; math-verify alone accepts {they_alone:.1%} of the answers, "
                f"the verifier alone {we_alone:.1%}."
            )
    return notes
