# Everything runs in .venv, which the first target that needs it sets up.

PYTHON ?= python3

BIN := .venv/bin
READY := .venv/.ready
READY_DEV := .venv/.ready-dev
READY_TOUR := .venv/.ready-tour
# What the install reads besides Python: when it changes, the install and engine native are made again.
INSTALLED := pyproject.toml setup.py firmware/ugpt/version.py tools/setup.sh $(wildcard host/native/*)
# A setting that is not given has the default of microgpt-board. PORT reaches it in the environment.
IMAGE_FLAGS = $(BOARD_FLAGS) $(if $(RELEASE),--release "$(RELEASE)") $(if $(FIRMWARE),--firmware "$(FIRMWARE)") $(NAMES_FLAGS) $(SIZES_FLAGS)
BOARD_FLAG = $(if $(BOARD),--board $(BOARD))
BOARD_FLAGS = $(BOARD_FLAG) $(if $(PSRAM),--psram $(PSRAM))
NAMES_FLAGS = $(if $(NAMES),--names "$(NAMES)") $(call switch,FOLD,--fold) $(call switch,CUT,--cut) \
	$(if $(MAX_CHARACTERS),--max-characters $(MAX_CHARACTERS))
TENSORBOARD_FLAG = $(if $(TENSORBOARD),--tensorboard "$(TENSORBOARD)")
BLOCK_FLAG = $(if $(BLOCK_SIZE),--block-size $(BLOCK_SIZE))
SIZES_FLAGS = $(BLOCK_FLAG) $(if $(N_EMBD),--n-embd $(N_EMBD)) \
	$(if $(N_HEAD),--n-head $(N_HEAD)) $(if $(N_LAYER),--n-layer $(N_LAYER)) \
	$(call switch,TIE_LM_HEAD,--tie-lm-head,--no-tie-lm-head) \
	$(call switch,INPUT_RMSNORM,--input-rmsnorm,--no-input-rmsnorm)
# $(call switch,NAME,on,off): the option for NAME=1 or for NAME=0; nothing if it is not given.
switch = $(if $($(1)),$(if $(filter 0,$($(1))),$(3),$(if $(filter 1,$($(1))),$(2),$(call bad,$(1)))))
bad = $(error $(1) must be 0 or 1, not $($(1)))
# $(call untaken,NAMES,why): nothing, or that the target does not take a setting that is given.
untaken = $(foreach name,$(1),$(if $($(name)),$(error make $@ takes no $(name)=$(2))))
BAUD_FLAG = $(if $(BAUD),--baud $(BAUD))
# As many processes as cores; one that is done takes tests from another.
PARALLEL := --numprocesses logical --dist worksteal
# Two files are left out by name too, since to import PyTorch takes seconds.
QUICK := -m "not (slow or browser or torch or board)" \
	--ignore tests/host/engines/test_torch.py --ignore tests/host/runs/test_torch_runs.py

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  LIST:  NAMES=list.txt FOLD=1 CUT=1 MAX_CHARACTERS=254"
	@echo "  SIZES: N_EMBD=16 N_HEAD=4 N_LAYER=1 BLOCK_SIZE=16 TIE_LM_HEAD=0 INPUT_RMSNORM=1"

$(READY): $(INSTALLED)
	@sh tools/setup.sh $(PYTHON) board,plot
	@touch $@

$(READY_DEV): $(INSTALLED)
	@sh tools/setup.sh $(PYTHON) board,plot,cluster,data,dev
	@touch $@ $(READY)

$(READY_TOUR): $(INSTALLED)
	@sh tools/setup.sh $(PYTHON) notebook
	@touch $@ $(READY)

run: $(READY) ## train on the virtual board, then generate 20 names [STEPS=1000 SEED=42 LR=0.01 RESUME=1 TENSORBOARD=logs BOARD= PSRAM= LIST SIZES]
	@$(call untaken,RELEASE FIRMWARE,: the virtual board has a MicroPython of its own)\
	$(BIN)/microgpt-board run $(if $(STEPS),--steps $(STEPS)) $(if $(SEED),--seed $(SEED)) $(if $(LR),--lr $(LR)) \
		$(BOARD_FLAGS) $(NAMES_FLAGS) $(SIZES_FLAGS) $(call switch,RESUME,--resume) \
		$(TENSORBOARD_FLAG)

image: $(READY) ## build the file for a board's flash [BOARD= PSRAM=8 RELEASE=v1.28.0 FIRMWARE=release.bin LIST SIZES]
	@$(BIN)/microgpt-board image $(IMAGE_FLAGS)

flash: $(READY) ## image, write it, watch the run [PORT= BAUD= BOARD= PSRAM= RELEASE= FIRMWARE= TENSORBOARD= LIST SIZES ESPTOOL_FLAGS=]
	@$(BIN)/microgpt-board flash $(BAUD_FLAG) $(IMAGE_FLAGS) $(TENSORBOARD_FLAG)

erase: $(READY) ## erase a board's whole flash [PORT= BAUD= BOARD=]
	@$(BIN)/microgpt-board erase $(BAUD_FLAG) $(BOARD_FLAG)

deploy: $(READY) ## copy what changed to a board with MicroPython [PORT= TOOL=ampy LIST SIZES]
	@$(call untaken,BOARD PSRAM RELEASE FIRMWARE,: it asks the board what it is)\
	$(BIN)/microgpt-board deploy $(if $(TOOL),--tool $(TOOL)) $(NAMES_FLAGS) $(SIZES_FLAGS)

monitor: $(READY) ## watch and record a board's run; NEW=1: a new one, from step 0 [PORT=/dev/..., COM3 or socket://... NEW=1 TENSORBOARD=]
	@$(BIN)/microgpt-board monitor $(call switch,NEW,--new) $(TENSORBOARD_FLAG)

repl: $(READY) ## MicroPython's prompt: Ctrl-C stops the program, Ctrl-] leaves [PORT=, or virtual]
	@$(BIN)/microgpt-board repl

boards: $(READY) ## the table of boards, or all that is known of one [BOARD=]
	@$(BIN)/microgpt-board boards $(if $(BOARD),"$(BOARD)")

ports: $(READY) ## list the boards that are plugged in
	@$(BIN)/microgpt-board ports

emulate: $(READY) ## boot the image on Espressif's QEMU [QEMU= SOCKET=5555 FLASH=file DOWNLOAD=1 BOARD= PSRAM= RELEASE= FIRMWARE= LIST SIZES]
	@$(BIN)/microgpt-board emulate $(IMAGE_FLAGS) $(if $(SOCKET),--socket $(SOCKET)) \
		$(call switch,DOWNLOAD,--download) $(if $(FLASH),--flash "$(FLASH)")

selftest: $(READY) ## check memory, data, kernels and gradients on a board [PORT=, or virtual]
	@$(BIN)/microgpt-board selftest

replay: $(READY) ## train a recorded run again on the computer and compare: RUN=runs/... [LIST BLOCK_SIZE= LR=]
	@$(BIN)/microgpt-board replay $(if $(RUN),"$(RUN)") $(NAMES_FLAGS) $(BLOCK_FLAG) \
		$(if $(LR),--lr $(LR))

pull: $(READY) ## the board's checkpoint as a new model folder [MODEL=models/board PORT=, or virtual]
	@$(BIN)/microgpt-board pull $(if $(MODEL),"$(MODEL)")

push: $(READY) ## a model onto the board, which generates names: MODEL=folder [TRAIN=1 PORT=]
	@$(BIN)/microgpt-board push $(if $(MODEL),"$(MODEL)") $(call switch,TRAIN,--train)

reset-training: $(READY) ## remove the board's checkpoints: the next run starts at step 0 [PORT=, or virtual]
	@$(BIN)/microgpt-board reset

site: $(READY) ## build the page that trains, flashes and watches in the browser [IMAGES="build/.../image.bin ..."]
	@$(BIN)/microgpt-board site $(foreach image,$(IMAGES),--image "$(image)")

site-serve: $(READY) ## show the built site in a browser of this computer [PORT=8000]
	@$(BIN)/microgpt-board site-serve

tour: $(READY_TOUR) ## open docs/tour.ipynb in JupyterLab, which the first call installs
	@$(BIN)/jupyter lab docs/tour.ipynb

lint: $(READY_DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint ## lint, format, types, import contracts, quick tests: for every save
	@$(BIN)/pytest -q $(PARALLEL) $(QUICK)

test: lint ## lint, and all tests [PYTEST_FLAGS=]
	@$(BIN)/pytest $(PARALLEL) $(PYTEST_FLAGS)

bench: $(READY) ## time of a training step: engines, virtual board
	@$(BIN)/microgpt-board bench $(NAMES_FLAGS)

bench-kernels: $(READY) ## instructions of a step's kernels, on an emulated Xtensa core and a Cortex-M4 [SIZES]
	@$(BIN)/microgpt-board bench-kernels $(SIZES_FLAGS)

kernels: $(READY) ## compile the native kernels of boards and browsers again, after a change to their C
	@$(BIN)/microgpt-board kernels

package: $(READY) ## make package.json and firmware/mip, which mip installs, after a change to firmware/
	@$(BIN)/microgpt-board package

names-makemore: $(READY) ## fetch the 2018 list of microgpt's published figures
	@$(BIN)/python tools/names_makemore.py data/names-makemore.txt

clean: ## remove what was built; .venv, runs/, models/ and data/ stay
	rm -rf build

.PHONY: help run image flash erase deploy monitor repl boards ports emulate selftest replay pull push \
	reset-training site site-serve tour lint check test bench bench-kernels kernels package names-makemore clean
