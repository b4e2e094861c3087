# Everything runs in .venv, which the first target that needs it sets up.

PYTHON ?= python3
STEPS ?= 1000
SEED ?= 42
NAMES ?= data/names.txt

BOARD ?= ESP32_GENERIC
TOOL ?= mpremote

BIN := .venv/bin
READY := .venv/.ready
READY_DEV := .venv/.ready-dev
PORT_FLAG = $(if $(PORT),--port $(PORT))
# As many processes as cores; one that is done takes tests from another.
PARALLEL := --numprocesses logical --dist worksteal
# Their file is left out by name too, since to import PyTorch takes seconds.
QUICK := -m "not (slow or browser or torch or board)" --ignore tests/host/engines/test_torch.py
IMAGE_FLAGS = --board $(BOARD) --names "$(NAMES)" $(if $(FIRMWARE),--firmware "$(FIRMWARE)")

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

run: $(READY) ## train on the virtual board, then make up 20 names [STEPS=1000 SEED=42 RESUME=1]
	@$(BIN)/python -m microgpt_board.device.run --steps $(STEPS) --seed $(SEED) --names "$(NAMES)" \
		$(if $(RESUME),--resume)

image: $(READY) ## build the file for a board's flash [BOARD=ESP32_GENERIC FIRMWARE=release.bin]
	@$(BIN)/python -m microgpt_board.image.image $(IMAGE_FLAGS)

flash: $(READY) ## image, write it, watch the run [PORT= BAUD= BOARD= FIRMWARE= ESPTOOL_FLAGS=]
	@$(BIN)/python -m microgpt_board.device.flash $(PORT_FLAG) $(if $(BAUD),--baud $(BAUD)) $(IMAGE_FLAGS)

erase: $(READY) ## erase a board's whole flash [PORT= BOARD=]
	@$(BIN)/python -m microgpt_board.device.flash --erase --board $(BOARD) $(PORT_FLAG) $(if $(BAUD),--baud $(BAUD))

deploy: $(READY) ## copy what changed to a board with MicroPython [PORT= TOOL=ampy]
	@$(BIN)/python -m microgpt_board.device.deploy $(PORT_FLAG) --tool $(TOOL) --names "$(NAMES)"

monitor: $(READY) ## watch and record a board's run [PORT=/dev/..., COM3 or socket://...]
	@$(BIN)/python -m microgpt_board.device.monitor $(PORT_FLAG)

repl: $(READY) ## MicroPython's prompt: Ctrl-C stops the program, Ctrl-] leaves [PORT=]
	@port=$$($(BIN)/python -m microgpt_board.device.ports --find $(PORT_FLAG)) && \
		exec $(BIN)/python -m mpremote connect $$port repl

ports: $(READY) ## list the boards that are plugged in
	@$(BIN)/python -m microgpt_board.device.ports

emulate: $(READY) ## boot the image on Espressif's QEMU [QEMU=path SOCKET=5555 DOWNLOAD=1 FLASH=file]
	@$(BIN)/python -m microgpt_board.emulation.qemu $(IMAGE_FLAGS) $(if $(SOCKET),--socket $(SOCKET)) \
		$(if $(DOWNLOAD),--download) $(if $(FLASH),--flash $(FLASH))

selftest: $(READY) ## check memory, data, kernels and gradients on a board [PORT=, or virtual]
	@$(BIN)/python -m microgpt_board.device.selftest $(PORT_FLAG)

replay: $(READY) ## train a recorded run again on the computer and compare: RUN=runs/... [LR=]
	@$(BIN)/python -m microgpt_board.proof.replay "$(or $(RUN),$(error name it: make replay RUN=runs/...))" \
		--names "$(NAMES)" $(if $(LR),--lr $(LR))

pull: $(READY) ## the board's checkpoint as a model folder [MODEL=models/board PORT=]
	@$(BIN)/python -m microgpt_board.device.weights pull "$(or $(MODEL),models/board)" $(PORT_FLAG)

push: $(READY) ## a model onto the board, which makes up names: MODEL=folder [TRAIN=1 PORT=]
	@$(BIN)/python -m microgpt_board.device.weights push "$(or $(MODEL),$(error name it: make push MODEL=folder))" \
		$(if $(TRAIN),--train) $(PORT_FLAG)

reset-training: $(READY) ## remove the board's checkpoints: it starts afresh [PORT=]
	@$(BIN)/python -m microgpt_board.device.weights reset $(PORT_FLAG)

lint: $(READY_DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint ## lint, format, types, import contracts, quick tests: for every save
	@$(BIN)/pytest -q $(PARALLEL) $(QUICK)

test: lint ## lint, and all tests [PYTEST_FLAGS=]
	@$(BIN)/pytest $(PARALLEL) $(PYTEST_FLAGS)

bench: $(READY) ## time of a training step: scalar, tensor, virtual board
	@$(BIN)/python -m microgpt_board.proof.bench

bench-kernels: $(READY) ## instructions of a step's kernels, on an emulated Xtensa core
	@$(BIN)/python -m microgpt_board.proof.bench_kernels

kernels: $(READY) ## compile the board's native kernels again, after a change to kernels.c
	@$(BIN)/python -m microgpt_board.image.native xtensawin firmware/native/kernels-xtensawin.mpy

names-makemore: $(READY) ## fetch the 2018 list of microgpt's published figures
	@$(BIN)/python -m tools.names_makemore data/names-makemore.txt

clean: ## remove what was built; .venv, runs/, models/ and data/ stay
	rm -rf build

.PHONY: help run image flash erase deploy monitor repl ports emulate selftest replay pull push \
	reset-training lint check test bench bench-kernels kernels names-makemore clean
