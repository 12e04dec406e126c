# `make` alone lists the targets. Everything runs in .venv, made from the pins of requirements.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install run report test test-quick test-faults lint docs links bench bench-gpu screenshots sync check record clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# PyTorch comes first and apart: what else is installed must never replace the pinned build.
$(VENV)/installed: requirements.txt requirements-alone.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' requirements.txt)
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-alone.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

install: $(VENV)/installed ## make .venv

# On a terminal a line per phase; elsewhere Snakemake's own lines.
LIVE := $(shell test -t 2 && echo --logger phases)

run: install ## score, search and report as params.yaml says
	snakemake $(LIVE)
	@for page in results/report/*.md; do untrained report show "$$(basename "$$page" .md)"; done

report: install ## results/report.html: all tables and figures in one file
	snakemake --report results/report.html

TEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: install ## the whole test suite, with the branch coverage of the quick tests
	@rm -f .coverage .coverage.*
	$(TEST) --cov --cov-report=term

test-quick: install ## what a change needs between commits: all tests that are not slow
	$(TEST) --quiet -m "not slow"

test-faults: install ## kills, full disks, locks and damaged files
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal --verbose --durations 8 tests/faults

lint: install ## ruff, mypy, import rules, snakefmt, snakemake --lint
	ruff check . && ruff format --check .
	mypy
	lint-imports
	snakefmt --check Snakefile workflow
	snakemake --lint

bench: install ## speed, rounding, memory and start-up, into docs/performance.md; keep the machine idle
	$(BIN)/python -m benchmarks.score_speed
	$(BIN)/python -m benchmarks.score_speed --space natsbench_size
	$(BIN)/python -m benchmarks.score_speed --space nasbench101
	$(BIN)/python -m benchmarks.score_speed --space darts --architectures 10 --batch-size 32
	for space in vanilla resnet resnext_a resnext_b; do \
	  $(BIN)/python -m benchmarks.score_speed --space nds_$$space --architectures 20 || exit 1; done
	$(BIN)/python -m benchmarks.time_by_operation
	$(BIN)/python -m benchmarks.fidelity
	$(BIN)/python -m benchmarks.ntk_speed
	$(BIN)/python -m benchmarks.pruning_speed
	$(BIN)/python -m benchmarks.training_speed
	$(BIN)/python -m benchmarks.shared_passes
	$(BIN)/python -m benchmarks.gradients_at_once
	$(BIN)/python -m benchmarks.commands
	$(BIN)/python -m benchmarks.search_speed

bench-gpu: install ## what a GPU does, into docs/performance.md; 7 minutes at most
	$(BIN)/python -m benchmarks.gpu

docs: install ## site/: the documentation as pages, with every warning an error
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

links: ## ask the servers of all links that lead out of the documentation; needs curl and a network
	grep -rhoP '\]\(\Khttps?://[^)]+' README.md CONTRIBUTING.md docs data --include='*.md' | sort -u | xargs -n 1 \
	  curl --silent --show-error --fail --location --output /dev/null --write-out '%{http_code} %{url}\n'

screenshots: install ## docs/figures/page*.png and nasbench201-*.png of the run; needs chromium
	$(BIN)/python docs/screenshots.py

sync: install ## restore the recorded artifacts and let Snakemake adopt them
	dvc pull
	$(BIN)/python workflow/adopt.py

check: install ## compare the metrics of `make run` with the recorded ones
	$(BIN)/python workflow/drift.py

record: install ## record in dvc.lock what `make run` made
	rm -f dvc.lock # which keeps stages that are no more
	dvc commit --force

clean: ## remove .venv and everything that the workflow made
	rm -rf $(VENV) .snakemake site logs data/benchmarks data/images .coverage*
	git clean -dfqX results # not the metrics, which Git has
