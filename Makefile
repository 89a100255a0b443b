# `make figures` is all that a new user needs; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SCALE ?= cpu
CORES ?= all
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)

.PHONY: figures smoke test setup report gallery calibration why prune reference lint help

figures: setup ## every figure of the paper at cpu scale, in results/cpu/figures/
	$(SNAKEMAKE) --config scale=$(SCALE)

smoke: setup ## the same graph with tiny runs, in results/smoke/figures/
	$(SNAKEMAKE) --config scale=smoke

test: setup ## all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests

setup: $(VENV)/.complete ## the virtual environment alone

# Built anew when the pins change; a half-made environment has no .complete.
$(VENV)/.complete: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

report: setup ## results/<scale>/report.html: figures, captions, configuration and run times in one file
	$(BIN)/snakemake --config scale=$(SCALE) --report results/$(SCALE)/report.html

gallery: figures ## refresh the copies of the figures in docs/gallery/
	$(BIN)/python scripts/write_gallery.py results/$(SCALE) docs/gallery

calibration: setup ## choose the learning rates again, on seeds that no figure uses
	$(SNAKEMAKE) --config scale=$(SCALE) -- calibration

why: setup ## what `make figures` would make, and what changed
	@$(BIN)/python scripts/why.py --scale $(SCALE)

prune: setup ## list results that no current target names; YES=1 removes them
	@$(BIN)/python scripts/prune.py --scale $(SCALE) $(if $(YES),--yes)

reference: setup ## config/schema.json and config/reference.yaml from the code
	$(BIN)/python scripts/write_reference.py

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
