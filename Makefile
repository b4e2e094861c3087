# Everything runs in .venv, which the first target that needs it sets up.

PYTHON ?= python3
STEPS ?= 1000
SEED ?= 42
NAMES ?= data/names.txt

BIN := .venv/bin
READY := .venv/.ready
READY_DEV := .venv/.ready-dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml tools/setup.sh
	@sh tools/setup.sh $(PYTHON) board,plot
	@touch $@

$(READY_DEV): pyproject.toml tools/setup.sh
	@sh tools/setup.sh $(PYTHON) board,plot,cluster,data,dev
	@touch $@ $(READY)

run: $(READY) ## train on the virtual board, then make up 20 names [STEPS=1000 SEED=42]
	@$(BIN)/python -m tools.virtual --steps $(STEPS) --seed $(SEED) --names "$(NAMES)"

test: $(READY_DEV) ## lint and all tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pytest

bench: $(READY) ## time of a training step: scalar, tensor, virtual board
	@$(BIN)/python -m tools.bench

names-makemore: $(READY) ## fetch the 2018 list of microgpt's published figures
	@$(BIN)/python -m tools.names_makemore data/names-makemore.txt

clean: ## remove what was built; .venv, runs/ and data/ stay
	rm -rf build

.PHONY: help run test bench names-makemore clean
