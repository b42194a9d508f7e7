# make lab           opens JupyterLab on your own copies of the chapters
#   make lab HOST=0.0.0.0 PORT=8889 BROWSER=no ARGS="-- --IdentityProvider.token=secret"
# make test          runs every test
# make ledger        trains and judges what papers published; make ledger-full, all of it
# For contributors: make edit, make notebooks [CHAPTER=01], make publish REPO=owner/name,
# make bench, make clean.

# the first of these that is 3.11, 3.12 or 3.13; `make lab PYTHON=/path/to/python` chooses another
SUITS := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
ifeq ($(origin PYTHON), undefined)
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c '$(SUITS)' >/dev/null 2>&1 && echo $$p && break; done)
endif
PYTHON := $(or $(PYTHON),python3)
VENV := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)/python

# HOST and PORT count only when given to make: shells export variables of the same names
given = $(if $(filter command,$(origin $(1))),$(2)$($(1)))
OPTIONS = $(call given,HOST,--ip=) $(call given,PORT,--port=) \
	$(if $(filter no 0 false,$(BROWSER)),--no-browser) $(ARGS)

.PHONY: lab test edit notebooks publish bench ledger ledger-full clean setup setup-tests
lab: setup
	@$(VENV) -m mlcourse lab $(OPTIONS)

test: setup-tests
	@$(VENV) tools/run_tests.py $(ARGS)

edit: setup-tests
	@$(VENV) -m mlcourse edit $(OPTIONS)

notebooks: setup-tests
	@$(VENV) tools/notebooks.py $(CHAPTER) $(ARGS)

publish: setup-tests
	@$(VENV) tools/publish.py "$(REPO)"

bench: setup-tests
	@for script in benchmarks/*.py; do echo "== $$script"; $(VENV) $$script || exit 1; done

ledger: setup-tests
	@$(VENV) benchmarks/ledger.py $(ARGS)

ledger-full: setup-tests
	@$(VENV) benchmarks/ledger.py --full $(ARGS)

clean:
	rm -rf .venv .venv-colab build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

setup:
	@$(PYTHON) -m mlcourse setup

setup-tests:
	@$(PYTHON) -m mlcourse setup --tests
