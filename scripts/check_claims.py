"""Check the paper's claims on the runs: claims.csv, claims.md and claims.rst."""

import pandas as pd

from asymre import job
from asymre.claims import table
from asymre.claims.bandit import bandit_rows
from asymre.claims.beyond import beyond_rows, diversity_summaries
from asymre.claims.runs import summaries
from asymre.claims.training import seed_rows, training_rows
from asymre.claims.verdict import corrected

BANDIT_INPUTS = ("bandit_theorems", "bandit_threshold", "bandit_limit")


def make(params, inputs, folder):
    def read(run, file="evaluation.parquet"):
        return job.reading(inputs[run] / file, pd.read_parquet)

    def summarised(summarise, runs):
        return summarise(runs, {run["input"]: read(run["input"]) for run in runs})

    runs = summarised(summaries, params["runs"])
    if params["table"] == "claims":
        first, last = bandit_rows(*(read(name, "data.parquet") for name in BANDIT_INPUTS))
        rows = sorted([*first, *last, *training_rows(runs, params)], key=lambda row: row.number)
    elif params["table"] == "claims_seeds":
        rows = seed_rows(runs, params)
    else:
        rows = beyond_rows(runs, summarised(diversity_summaries, params["diversity"]), params)
    rows = corrected(rows)
    table.frame(rows).to_csv(folder / "claims.csv", index=False, float_format="%.6g")
    (folder / "claims.md").write_text(table.markdown(rows, params))
    (folder / "claims.rst").write_text(table.restructured_text(rows, params))
    print(f"{len(rows)} rows")


if __name__ == "__main__":
    job.run(make)
