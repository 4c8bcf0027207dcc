# make help        what can be made
# make PYTHON=python3.13 test    with another interpreter (use a VENV of its own, see below)

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Where this is set, every process compiles what it imports anew: imports take several times as long.
unexport PYTHONDONTWRITEBYTECODE

# `make help` prints the text behind "##".
.PHONY: help demo test check slow bench bench-attribution bench-peers notebooks experiments pictures format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $(STAMP)

demo: $(STAMP) ## simulate, attribute, fit, forecast, report: all into out/demo
	rm -rf out/demo
	$(BIN)/journeysim demo --out out/demo

test: $(STAMP) ## fast tests
	$(BIN)/python -m pytest -m "not slow" -n 2 --durations 5

check: $(STAMP) ## lint, formatting, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

slow: $(STAMP) ## samplers, calibration and big simulations
	$(BIN)/python -m pytest -m slow -n 2 --durations 10

bench: $(STAMP) ## speed, against peers in the same run
	@for script in benchmarks/speed/*.py; do $(BIN)/python $$script || exit 1; done

PEERS := $(VENV)-peers

$(PEERS)/.installed: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --requirement benchmarks/peers/requirements.txt
	@touch $@

bench-peers: $(STAMP) $(PEERS)/.installed ## attribution against packages in an environment of their own
	PYTHONPATH=. $(BIN)/python benchmarks/peers/differences.py --peers $(PEERS)/bin/python
	PYTHONPATH=. $(BIN)/python benchmarks/speed/attribution_peers.py --peers $(PEERS)/bin/python
	JOURNEYSIM_PEERS_PYTHON=$(PEERS)/bin/python $(BIN)/python benchmarks/attribution/run.py \
		--grid benchmarks/attribution/peers.yaml --out out/benchmark/peers

bench-attribution: $(STAMP) ## attribution methods against known truth; fails if it differs from the committed leaderboard
	$(BIN)/python benchmarks/attribution/run.py --check

notebooks: $(STAMP) ## run every notebook into out/notebooks
	@mkdir -p out/notebooks
	@for story in notebooks/*.py; do \
		ran=out/notebooks/$$(basename $$story .py).ipynb; \
		$(BIN)/jupytext --quiet --to ipynb --output $$ran $$story \
		&& JUPYTER_PREFER_ENV_PATH=1 $(BIN)/jupyter-execute --NbClientApp.log_level=ERROR --kernel_name=python3 --inplace $$ran \
		|| { rm -f $$ran; echo "$$story failed" >&2; exit 1; }; \
		echo "$$story ran: $$ran"; \
	done

experiments: $(STAMP) ## run every experiment
	@for script in experiments/*.py; do $(BIN)/python $$script || exit 1; done

pictures: $(STAMP) ## make the pictures of README and docs anew
	$(BIN)/python docs/pictures.py
	$(BIN)/python docs/trap_pictures.py
	$(BIN)/python docs/forecast_pictures.py
	$(BIN)/python docs/twin_pictures.py

format: $(STAMP) ## mend formatting and what lint can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment, caches and results
	rm -rf $(VENV) $(VENV)-peers out .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
