# Everything lives in .venv; nothing else is needed than Python >= 3.12 and make (and g++ for the C backend).
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
ASV := $(VENV)/bin/asv
BASE ?= HEAD~1
WORKERS ?= 2
# asv's environments have the Python that is here, not one that would have to be installed first.
ASV_ENV = firstgrad-venv:$$($(PY) -c 'import sys; print("%d.%d" % sys.version_info[:2])')

.DEFAULT_GOAL := help
.PHONY: help demo test check docs docs-links plots pages bench asv-quick asv-releases bench-overhead bench-against-plain-asv bench-limit bench-trust bench-spread attack headline first-draw format clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | while IFS='|' read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done

$(STAMP): pyproject.toml scripts/make-venv
	@scripts/make-venv $(VENV)
	@touch $@

demo: $(STAMP)  ## Measure the pose model's first gradient, HMM off and on, in under 5 minutes
	$(PY) -m benchmarks.demo

test: $(STAMP)  ## Run all tests, in two processes (WORKERS=0: one after the other)
	$(PY) -m pytest -n $(WORKERS) --dist loadfile

check: $(STAMP)  ## Lint, types, the arrows between modules, the width of pages
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) scripts/wrap_docs.py --check

docs: $(STAMP)  ## Build the site of docs/ into docs/_site, the notebook executed; a warning is an error
	FIRSTGRAD_DOCS_EXECUTE=1 $(PY) -m sphinx -W --keep-going -q -b html docs docs/_site
	@echo "docs/_site/index.html"

docs-links: $(STAMP)  ## Follow every link of the site, those to other sites too
	$(PY) -m sphinx -W --keep-going -q -b linkcheck docs docs/_site/links

plots: $(STAMP)  ## Redraw the figures in plots/ from docs/data/
	$(PY) -m benchmarks.figures plots docs/data

pages: $(STAMP)  ## Write every number that README and docs/ take from docs/data/ anew; measures nothing
	$(PY) -m benchmarks.pages

bench: $(STAMP)  ## Run the pytest-benchmark suite, saved in .benchmarks/ (BENCH=--benchmark-compare: against the last one)
	$(PY) -m pytest benchmarks/pytest --benchmark-autosave --benchmark-columns=min,median,max,rounds $(BENCH)

asv-quick: $(STAMP)  ## Measure two commits with asv (BASE=HEAD~1 and HEAD), compare them, publish; some 10 minutes
	$(ASV) machine --yes
	git rev-parse $(BASE) HEAD | $(ASV) run -E $(ASV_ENV) --interleave-rounds --record-samples HASHFILE:-
	$(ASV) compare $(BASE) HEAD
	$(ASV) publish
	$(VENV)/bin/firstgrad report --axis commit --output .asv/report.html
	$(VENV)/bin/firstgrad compare $(BASE) HEAD

asv-releases: $(STAMP)  ## Measure the pose model under each PyMC release of benchmarks/releases/pins.toml (over an hour)
	$(ASV) machine --yes
	FIRSTGRAD_TIER=releases FIRSTGRAD_STORE=$(CURDIR)/.firstgrad/releases.sqlite \
		$(ASV) run --config asv.releases.conf.json --record-samples HEAD^!

bench-against-plain-asv: $(STAMP)  ## Time asv run with this suite and with the same metrics in plain asv (20 minutes)
	$(PY) benchmarks/against_plain_asv/compare.py

bench-overhead: $(STAMP)  ## Compare the measured compile with a bare script, interleaved (some 10 minutes)
	$(PY) -m benchmarks.overhead.compare --pairs 30 --keep

bench-limit: $(STAMP)  ## Measure the pose model's density by hand in JAX and Numba: the limit (some 15 minutes)
	$(PY) -m benchmarks.limit.run --output docs/data/limit.json

bench-trust: $(STAMP)  ## Ask how often compare is wrong, by real samples of small cases (50 minutes; again: goes on where it stopped)
	$(PY) -m benchmarks.trust.counts docs/data/trust-counts.jsonl
	$(PY) -m benchmarks.trust.collect docs/data/trust.jsonl --rounds 200 --slower-rounds 60 --minutes 40
	$(PY) -m benchmarks.trust.judge docs/data/trust.jsonl --data docs/data/trust-report.json

bench-spread: $(STAMP)  ## Measure how much each count differs between identical runs, and what counting costs (some 15 minutes)
	$(PY) -m benchmarks.spread.run

attack: $(STAMP)  ## Attack firstgrad: some 350 attacks and FAULTS=500 random faults; some 10 minutes (ONLY=13,14: these kinds alone)
	$(PY) -m benchmarks.attack.run --faults $(if $(ONLY),$(or $(FAULTS),0),$(or $(FAULTS),500)) \
		$(if $(ONLY),--only "$(ONLY)",--data docs/data/attack.json)

headline: $(STAMP)  ## Measure the unchanged model's first gradient and draw against the default and by hand (some 60 minutes; again: goes on where it stopped)
	$(PY) -m benchmarks.headline.run

first-draw: $(STAMP)  ## Measure the time to first draw by sampler, backend and PyMC release (some 60 minutes; again: goes on where it stopped)
	$(PY) -m benchmarks.first_draw.run

format: $(STAMP)  ## Format the code, wrap the pages
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .
	$(PY) scripts/wrap_docs.py

clean:  ## Remove the virtual environment and what tools left
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
