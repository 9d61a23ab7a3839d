# make demo, make test: each makes its own environment first; make help lists the rest.
PYTHON ?= python3
DEMO := .venv-demo
TEST := .venv-test
DOCS := .venv-docs
RELEASE := .venv-release
SITE := build/site
FUZZ_SECONDS ?= 600
PYTHONS ?= $(PYTHON)

.PHONY: help demo test bench fuzz web-test wheel-test site lint clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(DEMO)/ready  ## compress a photo and draw demo/out/steps.png (no TensorFlow)
	$(DEMO)/bin/python examples/demo.py

test: $(TEST)/ready web/build/ready  ## run all tests, a process a core
	$(TEST)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

bench: $(TEST)/ready  ## hold times against their limits, on a machine that does nothing else
	$(TEST)/bin/python -m pytest -m bench

web-test: $(TEST)/ready web/build/ready  ## run the tests of the browser decoder
	$(TEST)/bin/python -m pytest tests/web -s

fuzz: $(TEST)/ready  ## fuzz the format for FUZZ_SECONDS; inputs worth keeping go to .fuzz/inputs
	mkdir -p .fuzz/inputs
	cd .fuzz && PYTHONPATH=..:../format ../$(TEST)/bin/python -m tools.fuzz inputs -max_total_time=$(FUZZ_SECONDS)

wheel-test: $(RELEASE)/ready  ## build wheel and sdist, test them with PYTHONS, then with the lowest versions
	$(RELEASE)/bin/python -m tools.wheel_test --python $(PYTHONS)
	$(RELEASE)/bin/python -m tools.wheel_test --python $(firstword $(PYTHONS)) --lowest

site: $(DOCS)/ready web/build/ready  ## build pages and browser decoder in build/site: any static host serves them
	rm -rf $(SITE)
	$(DOCS)/bin/python tools/site_pages.py build/pages
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet
	cd web && npm run --silent build && node build.mjs site ../$(SITE)
	$(DOCS)/bin/python tools/site_samples.py $(SITE)
	for each in $(SITE)/packages/*; do node web/bin/rgru-pack-model.mjs $$each $(SITE)/models || exit; done
	rm -r $(SITE)/packages

lint: $(TEST)/ready  ## ruff, mypy and the doors between rooms
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy
	$(TEST)/bin/lint-imports

clean:  ## remove environments and outputs
	rm -rf $(DEMO) $(TEST) $(DOCS) $(RELEASE) dist .fuzz demo web/build web/dist web/node_modules

$(DEMO)/ready: pyproject.toml
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/pip install --quiet --disable-pip-version-check --editable . scikit-image
	touch $@

$(TEST)/ready: pyproject.toml
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/pip install --quiet --disable-pip-version-check --editable '.[train,eval,test]'
	touch $@

$(DOCS)/ready: pyproject.toml
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install --quiet --disable-pip-version-check --editable '.[docs]' scikit-image
	touch $@

$(RELEASE)/ready: Makefile
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/pip install --quiet --disable-pip-version-check build twine uv
	touch $@

web/build/ready: web/package-lock.json web/setup.sh
	sh web/setup.sh
	mkdir -p web/build && touch $@
