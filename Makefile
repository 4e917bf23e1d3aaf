# Each target does its own set-up: a virtual environment in .venv with the pinned packages, nothing outside it.
PYTHON ?= python3
BIN := .venv/bin
# Snakemake's scripts and the notebooks find the environment's programs by PATH.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo demo-offline test test-pipelines test-slurm lint clean

# The default study, of a real model on real texts from the package index, then the page of figures.
demo: .venv/installed
	snakemake --cores all
	snakemake --cores all --report results/report.html
	@echo "Figures: results/figures   Report: results/report.html"

# The same of two models that the project made itself, on its own texts: no network is used.
demo-offline: .venv/installed
	snakemake --cores all --configfile config/offline.yaml
	snakemake --cores all --configfile config/offline.yaml --report results/report.html
	@echo "Figures: results/figures   Report: results/report.html"

test: .venv/installed-dev
	OMP_NUM_THREADS=1 pytest -n 2 tests/unit
	pytest -n 2 --dist loadfile tests/workflow

# The archive, and the studies beside the chain: downstream tasks, sum attention, quirks.
test-pipelines: .venv/installed-dev
	pytest -n 2 --dist loadfile tests/pipelines

# A Slurm of its own on this machine: needs root and Debian's packages; what cannot be started is skipped by name.
test-slurm: .venv/installed-dev
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v slurmctld >/dev/null; then \
		apt-get update -qq && apt-get install -qq --no-install-recommends slurm-wlm munge || true; fi
	pytest tests/slurm

lint: .venv/installed-dev
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow/rules
	snakemake --lint
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/checks.yaml
	check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/installed: requirements.txt .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv .snakemake results logs
