# make app     study: installs once, then serves on http://127.0.0.1:7860
# make test    everything that must hold: lint, unit, property and browser tests
# make test-unit, make test-browser   the two halves of it
# make lint    ruff, import rules and mypy  make fix          let ruff repair what it can
# make test-postgres   the store and classes on a PostgreSQL server that is started for it; a part of test-unit
# make test-long      the GPU check itself and the longer tests on a simulated device: minutes
# make test-browsers   the main stories in Chromium, Firefox and WebKit, which make test plays too where both are installed
# make fuzz    20,000 changed files of every format that can be imported; CASES=500 for fewer
# make bench   performance, side by side    make screenshots  every page, three widths, light and dark
# make gpu-check   the lab's end-to-end run on a CUDA device, with a report

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# hqq is a source package whose set-up would try to build CUDA kernels that the lab does not use.
export DISABLE_CUDA := 1
# Every test process and every app that a test starts would compile our modules anew.
unexport PYTHONDONTWRITEBYTECODE
# Tests, benchmarks and screenshots share one copy of the embedded model.
CACHED_MODELS := LORA_STUDY_MODELS=$(abspath $(or $(LORA_STUDY_MODELS),.cache/models))

# PyTorch learns of a simulated device only before the first backward pass of a process: a round of its own.
# A browser test leaves an event loop running in its process, where later tests could start none: another round.
# Long files first, as tests/conftest.py orders them, and not those of many tests.
IN_TWO := --numprocesses 2 --dist loadfile --no-loadscope-reorder
SUITE := $(BIN)/python -m pytest --durations 25 --durations-min 1
# On a throwaway PostgreSQL server, or on that of TEST_DATABASE_URL.
POSTGRES_ROUND := $(SUITE) --postgres $(IN_TWO) tests/study/store tests/study/io tests/flashcards/review \
	tests/quizzes/session tests/classroom

# Its source is built with the flags of g++ and clang. On Linux and macOS a missing compiler fails the round.
ifeq ($(OS),Windows_NT)
SIMULATED_GPU_ROUND := @echo "The tests on the simulated GPU are left out on Windows, because g++ or clang build it for Linux and macOS only."
LONG := long and not simulated_gpu
else
SIMULATED_GPU_ROUND := $(CACHED_MODELS) $(SUITE) -m "simulated_gpu and not long" --numprocesses 2 --dist worksteal tests/lora_lab/worker
LONG := long
endif

.PHONY: test-unit test-browser fuzz test-postgres test-browsers test-long app test lint fix bench screenshots gpu-check clean

app: $(VENV)/.app-installed
	$(BIN)/python app.py $(ARGS)

test: lint test-unit test-browser
	@if { command -v firefox-esr || command -v firefox; } && command -v WebKitWebDriver && command -v xvfb-run; then $(MAKE) test-browsers; else \
		echo "Firefox and WebKit are not installed, so the main stories ran in Chromium alone. make test-browsers installs both."; fi

test-unit: $(VENV)/.dev-installed
	$(CACHED_MODELS) $(BIN)/python -m tests.prepare
	$(CACHED_MODELS) $(SUITE) -m "not gpu and not browser and not engines and not long and not simulated_gpu and not postgres" $(IN_TWO)
	$(CACHED_MODELS) $(POSTGRES_ROUND)
	$(SIMULATED_GPU_ROUND)

test-browser: $(VENV)/.dev-installed
	./tests/browser/install_chromium.sh
	$(CACHED_MODELS) $(BIN)/python -m tests.prepare
	$(CACHED_MODELS) $(SUITE) -m browser $(IN_TWO) tests/browser

lint: $(VENV)/.dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

fix: $(VENV)/.dev-installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev-installed
	./tests/browser/install_chromium.sh
	$(CACHED_MODELS) $(BIN)/python -m benchmarks.training $(ARGS)
	$(CACHED_MODELS) $(BIN)/python -m benchmarks.grid
	$(CACHED_MODELS) $(BIN)/python -m benchmarks.laptop
	$(CACHED_MODELS) $(BIN)/python -m benchmarks.pages
	$(CACHED_MODELS) $(BIN)/python -m benchmarks.page_weight
	$(CACHED_MODELS) $(BIN)/python -m benchmarks.grader
	$(BIN)/python -m benchmarks.classroom
	$(CACHED_MODELS) $(BIN)/python -m benchmarks.class_wall

fuzz: $(VENV)/.dev-installed
	FUZZ_CASES=$(or $(CASES),20000) $(BIN)/python -m pytest tests/fuzz $(ARGS)

test-postgres: $(VENV)/.dev-installed
	$(CACHED_MODELS) $(POSTGRES_ROUND)

test-browsers: $(VENV)/.dev-installed
	./tests/engines/install_browsers.sh
	$(CACHED_MODELS) $(BIN)/python -m tests.prepare
	$(CACHED_MODELS) $(SUITE) -m engines tests/engines $(ARGS)

screenshots: $(VENV)/.dev-installed
	./tests/browser/install_chromium.sh
	$(CACHED_MODELS) $(BIN)/python -m tests.browser.screenshots $(ARGS)

test-long: $(VENV)/.dev-installed
	$(CACHED_MODELS) $(BIN)/python -m tests.prepare
	$(CACHED_MODELS) $(BIN)/python -m pytest -m "$(LONG)"

gpu-check: $(VENV)/.dev-installed
	$(CACHED_MODELS) $(BIN)/python -m benchmarks.gpu_check $(ARGS)

clean:
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.app-installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 to 3.13 is needed, this is %d.%d: try make PYTHON=python3.12" % sys.version_info[:2] if not (3, 11) <= sys.version_info[:2] <= (3, 13) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/.dev-installed: requirements-dev.txt requirements-ray.txt requirements-postgres.txt $(VENV)/.app-installed
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@
