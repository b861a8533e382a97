# make demo, make test: everything from a fresh clone. PYTHON names another Python 3.11.
PYTHON ?= python3.11
DEVICE ?= cpu
BIN := .venv/bin
SNAKEMAKE := $(BIN)/snakemake --profile profiles/local
EXAMPLES := uk-2t north-atlantic western-europe

export PATH := $(CURDIR)/$(BIN):$(PATH)
.DEFAULT_GOAL := help
.PHONY: help demo examples $(EXAMPLES) test benchmark test-slurm test-faults test-containers wheelhouse images lint docs audit format pins models clean

help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1: /p' Makefile

# torch first and by its plain version, so that an index or folder with CPU builds is used where pip knows one.
.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: .venv/installed  ## every stage on a simulated atmosphere
	$(SNAKEMAKE) --configfile config/demo.yaml
	@echo "report: $(CURDIR)/results/demo/report.html"
	@echo "scores: $(CURDIR)/results/demo/metrics.csv"

examples: $(EXAMPLES)  ## the three examples on real ERA5 (the data must be there)

$(EXAMPLES): .venv/installed
	$(SNAKEMAKE) --configfile config/examples/$@.yaml
	@echo "report: $(CURDIR)/results/$@/report.html"
	@echo "scores: $(CURDIR)/results/$@/metrics.csv"

benchmark: .venv/installed  ## all figures against their limits, 12 minutes on a machine that does nothing else: docs/benchmarks.md
	$(BIN)/python benchmarks/run.py

test: .venv/installed  ## the test suite, lint included
	$(BIN)/python -m pytest

test-slurm: .venv/installed  ## the workflow on a real Slurm, started on this machine (root; apt-get install slurm-wlm)
	ATMOREP_SLURM_FAULTS=1 $(BIN)/python -m pytest tests/workflow/test_slurm.py

test-faults: .venv/installed  ## every stage killed, every file damaged, full disks, a broken network: docs/faults.md (root, for the disks)
	ATMOREP_FAULTS=1 $(BIN)/python -m pytest tests/faults

test-containers: .venv/installed  ## build the CPU image and run the workflow in it (root; packages: .ci/run)
	ATMOREP_BUILD_IMAGE=1 $(BIN)/python -m pytest tests/workflow/test_containers.py

wheelhouse: .venv/installed  ## fetch what an image installs; DEVICE=cuda: PyTorch with CUDA
	containers/wheels $(DEVICE)

images: .venv/installed  ## build an image and its Apptainer file from the wheelhouse: docs/containers.md
	test -e containers/wheelhouse/$(DEVICE)/SHA256SUMS || containers/wheels $(DEVICE)
	containers/build $(DEVICE) $(BUILD_ARGS)

lint: .venv/installed  ## ruff, mypy, snakefmt, snakemake --lint
	$(BIN)/python -m pytest tests/test_lint.py

docs: .venv/installed  ## the documentation as a site, warnings as errors: docs/build/index.html
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/build

audit: .venv/installed  ## known vulnerabilities of the pinned dependencies, where a database can be asked
	$(BIN)/python tools/audit.py

format: .venv/installed  ## bring the code to its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt workflow

pins: .venv/installed  ## resolve the dependencies anew: constraints.txt, environment.yml
	$(BIN)/python tools/pins.py

models: .venv/installed  ## count the sizes of the shipped models anew: docs/models.md
	$(BIN)/python tools/models.py

clean:  ## remove the environment and caches; data, models and results stay
	rm -rf .venv .snakemake .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
