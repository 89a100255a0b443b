#!/usr/bin/env bash
# The graph of the gpu scale on this machine's CPU: bash tools/rehearse.sh (make rehearsal).
# Slurm on loopback where it can be had, vLLM, two training processes; figure 5; comparison with engine local.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=$PWD/.venv/bin
SLURM=.snakemake/slurm
TARGETS=(figure_5 results/rehearsal/runs.csv)

if "$BIN/python" tools/local_slurm.py install; then
    trap '"$BIN/python" tools/local_slurm.py down "$SLURM"' EXIT
    "$BIN/python" tools/local_slurm.py up "$SLURM"
    # shellcheck disable=SC1091
    source "$SLURM/environment.sh"
    RUN=(--workflow-profile profiles/slurm --latency-wait 10
        --slurm-init-seconds-before-status-checks 8 --slurm-status-command squeue
        --default-resources slurm_partition=rehearsal slurm_account=rehearsal mem_mb=2000 runtime=20)
else
    echo "Slurm cannot be had here: the rehearsal runs without it, on the local executor."
    RUN=(--cores all)
fi
"$BIN/snakemake" "${RUN[@]}" --config scale=rehearsal -- "${TARGETS[@]}"
"$BIN/snakemake" --cores all --configfile config/rehearsal_local.yaml -- figure_5 results/rehearsal_local/runs.csv
"$BIN/python" -m tools.compare_engines
echo "figure: results/rehearsal/figures/figure_05.png"
