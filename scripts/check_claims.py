"""Check the paper's claims on the runs: claims.csv, claims.md, claims.html, and a summary, claims.rst."""

import pandas as pd

from paper.claims import table
from paper.claims.bandit import bandit_rows
from paper.claims.beyond import beyond_rows
from paper.claims.graders import grader_notes
from paper.claims.own_policies import cycle_summaries, own_policy_rows, read_pass_rates
from paper.claims.runs import read_curves, summaries
from paper.claims.training import training_rows
from paper.claims.verdict import corrected
from paper.specs import ClaimsSpec
from store import job
from store.files import write_text
from workflow.project import PROJECT

BANDIT_INPUTS = ("bandit_theorems", "bandit_threshold", "bandit_limit")


def make(spec: ClaimsSpec, inputs, folder):
    tables = {}

    def summarised(summarise, runs, read):
        files = {run.input: inputs[run.input] / "evaluation.parquet" for run in runs}
        tables.update({name: job.reading(path, read) for name, path in files.items()})
        return summarise(runs, {name: tables[name] for name in files})

    runs = summarised(summaries, spec.runs, read_curves)
    notes = grader_notes(spec.runs, tables, spec.datasets)
    if spec.table == "claims":
        first, last = bandit_rows(
            *(job.reading(inputs[name] / "data.parquet", pd.read_parquet) for name in BANDIT_INPUTS)
        )
        rows = sorted([*first, *last, *training_rows(runs, spec)], key=lambda row: row.number)
    elif spec.table == "claims_seeds":
        rows = own_policy_rows(runs, summarised(cycle_summaries, spec.first_cycle, read_pass_rates), spec)
    else:
        rows = beyond_rows(runs, spec)
    rows = corrected(rows)
    write_text(folder / "claims.csv", table.frame(rows).to_csv(index=False, float_format="%.6g"))
    write_text(folder / "claims.md", table.markdown(rows, spec, notes))
    write_text(folder / "claims.html", table.html(rows, spec, notes))
    write_text(folder / "claims.rst", table.first_page(rows, spec))
    print(f"{len(rows)} rows")


if __name__ == "__main__":
    job.run(make, PROJECT, ClaimsSpec)
