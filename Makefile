# EBAP's commands. `make demo` on a fresh machine does everything; `make help` lists the rest.
# Settings (EBAP_*) come from the environment or from .env; .env.example lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name) 2>/dev/null)))
# Quotes, ~ and comments in .env are read by what reads all settings.
EBAP_HOME := $(or $(if $(PYTHON),$(if $(or $(EBAP_HOME),$(wildcard .env)),$(shell "$(PYTHON)" -E infra/install home 2>/dev/null))),$(CURDIR)/.ebap)
export EBAP_HOME
# A shell's own paths would be imported before ours; and compiled modules are kept: to do without costs each process a second.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

MAIN := "$(EBAP_HOME)/venv/main/bin/python"
DEV := "$(EBAP_HOME)/venv/dev/bin"
AIRFLOW := "$(EBAP_HOME)/venv/dev-airflow/bin/python"
BOOT := "$(EBAP_HOME)/venv/boot/bin"
LOCAL := $(MAIN) -m infra.local
CODE := spark_apps generator infra dags plugins dashboards tests

.PHONY: help
help:  ## List these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do printf 'make %-13s %s\n' "$$name" "$$text"; done

.PHONY: python install
python:
	@[ -n "$(PYTHON)" ] || { echo 'error   there is no Python: install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); ok or sys.exit("error   %s is Python %d.%d: name a Python 3.11 to 3.13: make PYTHON=/path/to/python3.11" % (sys.executable, *sys.version_info[:2]))'

install: python  ## Install what is missing: Python environments and Java artifacts, by lock
	@"$(PYTHON)" -E infra/install 1>&2

.PHONY: demo up live down status doctor logs restart wipe sql pause resume rate eps
demo: python  ## Start everything, write 30 simulated days, wait until every gold table has rows
	@"$(PYTHON)" -E infra/install start 1>&2
	@$(LOCAL) demo

up: python  ## Start everything
	@"$(PYTHON)" -E infra/install start 1>&2
	@$(LOCAL) up

live: python  ## Add the live half (clicks, Redis, Iceberg, Trino), and start it
	@"$(PYTHON)" -E infra/install live 1>&2
	@$(LOCAL) live

down:  ## Stop everything; data stays
	@if [ -x $(MAIN) ]; then $(LOCAL) down; else echo 'nothing is installed'; fi

status: install  ## Services, memory, tables and their age; JSON=1 for one JSON object
	@$(LOCAL) status $(if $(JSON),--json)

doctor: python  ## Check this machine: Java, Python, ports, memory, disk
	@"$(PYTHON)" -E infra/install doctor

logs: install  ## The log of one service: S=name
	@$(LOCAL) logs "$(or $(S),$(error name a service: make logs S=kafka))"

restart: install  ## Stop and start one service: S=name
	@$(LOCAL) restart "$(or $(S),$(error name a service: make restart S=land))"

wipe:  ## Remove data, logs and secrets; CACHE=1 also environments and downloads
	@if [ -x $(MAIN) ]; then $(LOCAL) wipe $(if $(CACHE),--cache); else echo 'nothing is installed'; fi

sql: install  ## Run a SQL query over the lake: Q='SELECT …'
	@$(MAIN) -m lakehouse sql "$${Q:?write a query: make sql Q='SELECT 1'}"

pause: install  ## Pause the simulated shop and its clicks
	@$(MAIN) -m generator pause

resume: install  ## Resume them
	@$(MAIN) -m generator resume

rate: install  ## Change the shop's pace: R=operations a second
	@$(MAIN) -m generator rate "$(or $(R),$(error name a rate: make rate R=50))"

eps: install  ## Change the pace of the clicks: E=events a second
	@$(MAIN) -m generator eps "$(or $(E),$(error name a rate: make eps E=1000))"

.PHONY: notebook metabase
notebook: python  ## Jupyter with a notebook that explores history and gold
	@"$(PYTHON)" -E infra/install notebook 1>&2
	@"$(EBAP_HOME)/venv/notebook/bin/jupyter" lab --ip 127.0.0.1 dashboards/notebooks/explore.ipynb

metabase: install  ## Start Metabase and make or repair the boards in it; PLAN=1 only shows what differs
	@[ -n "$(PLAN)" ] || { "$(PYTHON)" -E infra/install metabase 1>&2 && $(LOCAL) metabase 1>&2; }
	@$(MAIN) -m dashboards.metabase.provision $(if $(PLAN),plan,apply)

.PHONY: install-dev check compose-check test test-long bench generated lock
install-dev: python  ## The same, and what the tests need
	@"$(PYTHON)" -E infra/install dev 1>&2

check: install-dev  ## The two-minute loop: format, lint, types, tests that need neither Spark nor processes
	@$(DEV)/ruff format --check $(CODE)
	@$(DEV)/ruff check $(CODE)
	@$(DEV)/mypy $(CODE)
	@$(DEV)/lint-imports --no-cache --no-logo
	@$(DEV)/python -m pytest -m 'not spark and not many' -n 2 --dist loadfile tests/unit tests/golden tests/policy
	@$(AIRFLOW) -m pytest tests/policy_airflow

compose-check: install-dev  ## The Compose file and its image's Dockerfile, by schema and lint; no engine needed
	@$(DEV)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yaml
	@$(DEV)/hadolint infra/docker/*.Dockerfile && echo 'ok -- hadolint'
	@if docker compose version > /dev/null 2>&1; then docker compose config -q && echo 'ok -- docker compose config'; \
	else echo 'skipped -- docker compose config: there is no docker with its compose command here'; fi

test: check compose-check  ## check, then machines in a fake cloud, Spark, and real processes with kills and oracles
	@# The machines' tests wait for a clock nine tenths of their time: beside those on Spark they cost nothing. The golden cases come
	@# first: they are few and take longest, and one process would still be at them when the other has nothing left.
	@mkdir -p "$(EBAP_HOME)/tmp"; $(AIRFLOW) -m pytest tests/machines > "$(EBAP_HOME)/tmp/machines.log" 2>&1 & machines=$$!; \
	$(DEV)/python -m pytest -m '(spark or many) and not long' -n 2 --dist loadfile --no-loadscope-reorder tests/golden tests/unit tests/policy tests/e2e --durations=10; \
	wait $$machines || { cat "$(EBAP_HOME)/tmp/machines.log"; exit 1; }; tail -n 1 "$(EBAP_HOME)/tmp/machines.log"
	@$(DEV)/python -m pytest -m 'e2e and not spark and not long' tests/e2e -s --durations=20

test-long: install-dev  ## What takes longer: rebuilds and repairs beside a load, long histories, schema changes, an hour of orders, gs://, a cluster, containers
	@$(DEV)/python -m pytest -m 'long and e2e' tests/e2e -s
	@$(DEV)/python -m pytest -m 'long and spark' tests/unit
	@# Apart from those on Spark: what they set for their JVM, a platform's processes would inherit.
	@$(DEV)/python -m pytest -m 'long and not e2e and not spark' tests/e2e -s
	@EBAP_LAKE=gs://tests/lake $(MAKE) -s install
	@$(DEV)/python -m pytest -m gcs tests/e2e -s
	@$(DEV)/python -m pytest -m cluster tests/e2e -s
	@$(DEV)/python -m pytest -m compose tests/e2e -s -rs

bench: install-dev  ## Speed as ratios to peers, on the running platform (make demo, make pause); LINES='5 6 7 12 13 14' runs those alone, with no platform; 16 needs the live half installed
	@$(DEV)/python -m tests.bench $(LINES)

generated: install  ## Write again what is generated: data dictionary, .env.example, reference pages, layout, docker-compose.yaml
	@$(MAIN) -m lakehouse docs --write
	@$(MAIN) -m infra.docs.commands
	@$(MAIN) -m infra.docs.layout
	@$(MAIN) -m infra.docker.compose

lock: install-dev  ## Resolve the locks again
	@cd infra/locks && for name in boot main airflow live jdk jdk25 node notebook dev dev-airflow; do \
	  case $$name in dev) like="-c main.txt";; dev-airflow) like="-c airflow.txt";; airflow) like="--excludes airflow.excludes";; *) like=;; esac; \
	  $(BOOT)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade $$like "$$name.in" -o "$$name.txt"; done
	@$(BOOT)/python -m infra.install.jars lock
