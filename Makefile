# Everything a developer runs. `make` alone lists it.

.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory

PYTHON  ?=
MODEL   ?=
ARGS    ?=
PIP     := .venv/bin/python -m pip
STAMPS  := .venv/stamps
# The tools of .venv first (protoc finds its plugins there), then those unpacked from Debian.
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.cache/debian/bin:$(CURDIR)/.cache/deploy/bin:$(CURDIR)/.cache/buf/node_modules/.bin:$(PATH)
# What is installed must not depend on somebody's site-packages.
export PYTHONNOUSERSITE := 1

.PHONY: help
help: ## List what there is to make
	@awk 'BEGIN { FS = ":.*## "; print "make ..." } \
		/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Run it --------------------------------------------------------------------------------------------

.PHONY: demo serve
demo: $(STAMPS)/serve ## Start the service, explain photographs and sentences, write pictures to out/demo
	@.venv/bin/candor demo $(ARGS)

serve: $(STAMPS)/serve ## Start the service on the committed models (ARGS="--http-address ...")
	@exec .venv/bin/candor serve $(ARGS)

# Change it -----------------------------------------------------------------------------------------

.PHONY: setup generate lock models
setup: $(STAMPS)/reference $(STAMPS)/tools ## Virtual environment, packages and test programs, all of them

generate: $(STAMPS)/dev ## Write the code that comes from protos/ and the docs that come from tables
	@.venv/bin/python scripts/generate.py
	@.venv/bin/python scripts/tables.py

lock: $(STAMPS)/dev ## Renew requirements/*.txt from pyproject.toml (ARGS=--upgrade)
	@$(PIP) install --quiet uv
	@scripts/lock.sh $(ARGS)

models: $(STAMPS)/reference ## Train and export the models again from CANDOR_DATA (MODEL="digits-lenet vowels-gru" for some)
	@test -n "$(CANDOR_DATA)" || { echo "make models needs CANDOR_DATA, the folder of the data sets" >&2; exit 1; }
	@cd models && for model in $(or $(MODEL),$$(../.venv/bin/python -m zoo list)); do \
		CANDOR_DATA="$(abspath $(CANDOR_DATA))" ../.venv/bin/python -m zoo train $$model $(ARGS) || exit; \
	done

.PHONY: model-docs
model-docs: $(STAMPS)/reference ## Measure and draw the committed models (CANDOR_DATA, MODEL="photos ..."), write docs/models.md
	@CANDOR_DATA="$(if $(CANDOR_DATA),$(abspath $(CANDOR_DATA)))" scripts/model_docs.sh $(MODEL)

# Check it ------------------------------------------------------------------------------------------

.PHONY: check check-format check-lint check-types check-imports check-protos check-generated format
check: check-format check-lint check-types check-imports check-protos check-generated ## Format, lint, types, import contracts, protobuf, generated files

check-format: $(STAMPS)/dev
	@ruff format --check --quiet . || { ruff format --diff . | head -n 40; echo "make format mends it" >&2; exit 1; }

check-lint: $(STAMPS)/dev
	@ruff check --quiet .

check-types: $(STAMPS)/dev
	@mypy --no-error-summary

check-imports: $(STAMPS)/dev
	@PYTHONPATH=service lint-imports --no-logo 2>&1 | tail -n 30 > $(STAMPS)/imports.log; \
		grep -q ' 0 broken' $(STAMPS)/imports.log || { cat $(STAMPS)/imports.log; exit 1; }

check-protos: $(STAMPS)/tools
	@scripts/check_protos.sh

check-generated: $(STAMPS)/dev
	@.venv/bin/python scripts/generate.py --check
	@.venv/bin/python scripts/tables.py --check

format: $(STAMPS)/dev ## Format the code, and mend what the linter can
	@ruff check --quiet --fix . ; ruff format --quiet .

# Test it -------------------------------------------------------------------------------------------

.PHONY: test test-data
test: $(STAMPS)/reference $(STAMPS)/tools check ## make check, then the tests that need no data sets
	@pytest --numprocesses auto --dist loadfile -m "not data and not kserve and not ray" $(ARGS)

test-data: $(STAMPS)/reference $(STAMPS)/tools ## The tests that need the data sets under CANDOR_DATA
	@test -n "$(CANDOR_DATA)" || { echo "make test-data needs CANDOR_DATA, the folder of the data sets" >&2; exit 1; }
	@CANDOR_DATA="$(abspath $(CANDOR_DATA))" pytest -m data $(ARGS)

.PHONY: test-kserve
test-kserve: $(STAMPS)/reference $(STAMPS)/tools ## KServe's own clients against the service (installs them in .cache/kserve)
	@$(PIP) install --quiet --upgrade --target .cache/kserve kserve==0.21.0
	@PYTHONPATH=.cache/kserve pytest -m kserve $(ARGS)

.PHONY: test-ray
test-ray: $(STAMPS)/reference ## candor bulk on a Ray cluster of two nodes (installs Ray in .cache/ray)
	@$(PIP) install --quiet --upgrade --target .cache/ray 'ray[data]==2.60.0' 'protobuf<7'
	@PYTHONPATH=.cache/ray pytest -m ray $(ARGS)

.PHONY: fuzz
fuzz: $(STAMPS)/dev ## Malformed input, led by what it reaches, then counted (SECONDS=60, CASES=10000; installs atheris in .cache/fuzz)
	@$(PIP) install --quiet --upgrade --target .cache/fuzz/tools atheris==3.0.0 coverage==7.17.3
	@PYTHONPATH=service:tests:.cache/fuzz/tools .venv/bin/python -m fuzz.guided $(or $(SECONDS),60)
	@PYTHONPATH=service:tests:.cache/fuzz/tools .venv/bin/python -m fuzz.measured $(or $(CASES),10000)

.PHONY: test-deploy sbom
test-deploy: $(STAMPS)/tools ## Build the image and start it, then docker-compose.yml, with podman (root; some minutes)
	@deploy/testing/build_and_ask.sh
	@deploy/testing/compose_and_ask.sh

sbom: $(STAMPS)/tools ## Write out/sbom.json: what is in the image for CPU, as CycloneDX
	@mkdir -p out && cyclonedx-py requirements requirements/serve.txt --output-reproducible --output-file out/sbom.json

# Ship it -------------------------------------------------------------------------------------------

.PHONY: image scan dist sign release
image: ## Build the image for CPU as IMAGE, localhost/candor (ENGINE=podman; TARGET=cuda)
	@$(or $(ENGINE),docker) build --file deploy/Dockerfile --target $(or $(TARGET),cpu) --tag $(or $(IMAGE),localhost/candor) .

scan: $(STAMPS)/tools ## What others know to be wrong with packages, Dockerfile and manifests (installs in .cache/scan)
	@scripts/scan.sh $(ARGS)

dist: $(STAMPS)/dev ## Write dist/: a wheel and a source distribution
	@rm -rf dist && .venv/bin/python -m hatchling build --directory dist >/dev/null && ls dist

sign: $(STAMPS)/venv ## Sign dist/ and out/sbom.json as who runs this, by sigstore (installs it in .cache/sign)
	@.venv/bin/python -m venv .cache/sign && .cache/sign/bin/python -m pip install --quiet sigstore==4.5.1
	@.cache/sign/bin/sigstore sign --overwrite dist/*.whl dist/*.tar.gz out/sbom.json

release: ## Publish dist/ and out/sbom.json, with their signatures, as the release TAG (needs gh)
	@test -n "$(TAG)" || { echo "make release needs TAG, such as v1.2.3" >&2; exit 1; }
	@gh release create "$(TAG)" dist/* out/sbom.json* --verify-tag --notes-file CHANGELOG.md

.PHONY: bench
bench: $(STAMPS)/reference ## Measure against the alternatives (BENCH=autodiff, ARGS="speed --only ResNet")
	@PYTHONPATH=service:models CANDOR_DATA="$(if $(CANDOR_DATA),$(abspath $(CANDOR_DATA)))" .venv/bin/python -m benchmarks.$(or $(BENCH),autodiff) $(ARGS)

# Set-up: each stamp is newer than what it was made from, so that a second run does nothing ----------

$(STAMPS)/venv: scripts/venv.sh
	@echo "virtual environment: .venv"
	@PYTHON="$(PYTHON)" scripts/venv.sh
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/serve: $(STAMPS)/venv requirements/serve.txt requirements/build.txt pyproject.toml
	@echo "packages: what the service needs"
	@$(PIP) install --quiet -r requirements/build.txt -r requirements/serve.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMPS)/dev: $(STAMPS)/serve requirements/dev.txt
	@echo "packages: what the checks and tests need"
	@$(PIP) install --quiet -r requirements/dev.txt
	@touch $@

$(STAMPS)/reference: $(STAMPS)/dev requirements/torch.txt requirements/torch-peers.txt requirements/reference.txt
	@echo "packages: torch and the references that we are compared with"
	@$(PIP) install --quiet -r requirements/torch.txt
	@$(PIP) install --quiet -r requirements/reference.txt
	@$(PIP) install --quiet --no-deps -r requirements/torch-peers.txt
	@touch $@

$(STAMPS)/tools: $(STAMPS)/venv scripts/debian.sh scripts/npm.sh scripts/deploy_tools.sh requirements/deploy.txt
	@echo "programs: redis-server, openssl, prometheus, haproxy, buf, Connect's client, and what checks deploy/"
	@scripts/debian.sh tool redis-server redis-server
	@scripts/debian.sh tool openssl openssl
	@scripts/debian.sh tool promtool prometheus
	@scripts/debian.sh tool prometheus prometheus
	@scripts/debian.sh tool haproxy haproxy
	@scripts/npm.sh buf "make check, which lints protos/" @bufbuild/buf@1.75.0
	@scripts/npm.sh connect "tests/clients, which ask with Connect's client" \
		@connectrpc/connect-node@2.1.2 @connectrpc/connect@2.1.2 @bufbuild/protobuf@2.17.0
	@scripts/deploy_tools.sh
	@touch $@

.PHONY: clean
clean: ## Remove what was made: .venv, caches, out/
	rm -rf .venv .cache out dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
