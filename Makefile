# The door to the study: `make` lists what it can do. Written for GNU make 3.81 (the one of macOS) and later.

PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$python && break; done)
# The option's name is one that a site may have in its environment for itself: there it is not ours.
export FER_CLUSTER := $(if $(filter command,$(origin CLUSTER)),$(CLUSTER),$(FER_CLUSTER))
# On a cluster the nodes' GPUs count, which the machine that submits the jobs has not.
GPU := $(shell if [ -n "$(FER_CLUSTER)" ] && command -v sinfo >/dev/null; then sinfo --noheader --format %G 2>/dev/null | grep gpu; \
	else nvidia-smi -L 2>/dev/null | grep '^GPU'; fi)
# Once built for GPUs, it stays so: a login node, which has none, must not rebuild what jobs are using.
LOCK ?= $(if $(GPU)$(wildcard .venv/.installed-requirements-gpu.lock),requirements-gpu.lock,requirements.lock)

# An environment is built when its stamp says so. The stamp is named after the lock, so that another lock
# (a GPU came or went) means another environment.
ENV := .venv/.installed-$(LOCK)
JAX_ENV := .venv-jax/.installed-requirements-jax.lock

# FER2013, KERAS_BACKEND and the like reach the study through the environment, `make reproduce FER2013=PATH` included;
# records keep the lock's checksum.
export FER_LOCK := $(LOCK)

.DEFAULT_GOAL := help
.PHONY: help data weights reproduce plan kit check-results report article audit live-model demo lab bench bench-growth \
	bench-ingest bench-live bench-peers test test-slow test-slurm test-faults test-live fuzz jax browser torch \
	audit-dependencies lint lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' Makefile
	@awk '/^#:/{print substr($$0, 4)}' Makefile

#:
#: Options of reproduce and plan, for example make plan PROFILE=full ONLY=table1
#:   PROFILE=   smoke, quick, full or copy (default: what data and machine allow)
#:   ONLY=      comma-separated experiments, or parts of their names: the files in experiments/
#:   SEEDS=     seeds of each experiment
#:   FORCE=1    again, where a record is there (reproduce: and replace it)
#:   JOBS=      CPU cores to use (reproduce only)
#:   DEVICES=   GPUs that train one network together (default: 1)
#:   CLUSTER=   slurm: make the runs on that cluster (docs/cluster.md)
#: Options of check-results: ONLY=, whole names; SEED=, whose record (default: 0); EPOCHS=, only the first ones
#: Options of kit: PROFILE= (default: full) ONLY= SEEDS=, and
#:   SIZE=      megabytes of a piece at most (default: 50)
#:   OUT=       the folder that is made (default: results/local/kit)
#:   FOR=       the other machine's version of Python (default: 3.12)
#:   WITHOUT=   comma-separated packages that it has, such as jax
#: Data, for every target: FER2013=PATH FERPLUS=PATH AFFECTNET=PATH CKPLUS=PATH SFEW=PATH AFEW=PATH GAF=PATH
#: KEEP=1: the figures go into the page in docs/ that shows them. .venv/bin/fer --help lists what needs no make.

# A misspelt option would be ignored, and the wrong thing run for hours. (make escapes the blanks of a value.)
OPTIONS := PROFILE ONLY SEEDS $(if $(filter check-results,$(MAKECMDGOALS)),SEED EPOCHS) FORCE JOBS CLUSTER KEEP MINUTES MOMENTS PART UPGRADE SIZE WITHOUT FOR OUT FER2013 FERPLUS AFFECTNET CKPLUS SFEW AFEW GAF PRECISION DEVICES KERAS_BACKEND PYTHON LOCK
blank := $(subst ,, )
comma := ,
given := $(foreach each,$(subst \$(blank),,$(MAKEOVERRIDES)),$(firstword $(subst =, ,$(each))))
unknown := $(filter-out $(OPTIONS) FER_% KERAS% KAGGLE% TF_% XLA_% JAX_% CUDA_% OMP_% MAKE% SHELL --,$(given))
$(if $(unknown),$(error found the option $(unknown), expected some of $(OPTIONS); \
	correct the name, or set it in the environment))
yes = $(filter-out 0 no No false False off,$(1))

WHICH = $(if $(PROFILE),--profile "$(PROFILE)") $(if $(SEEDS),--seeds "$(SEEDS)") $(if $(ONLY),--only "$(ONLY)") \
	$(if $(call yes,$(FORCE)),--force)

reproduce: $(ENV) ## Make the runs that are missing, then the report
	@exec .venv/bin/python -m fer_lib reproduce --parent $$PPID $(WHICH) $(if $(JOBS),--jobs "$(JOBS)")

plan: $(ENV) ## Say what reproduce would make, how long it takes and on how much disk; make nothing
	@.venv/bin/python -m fer_lib plan $(WHICH)

kit: $(ENV) ## Pack what the missing runs need on a machine without network, in pieces
	@.venv/bin/python -m fer_lib kit "$(or $(OUT),results/local/kit)" $(if $(SIZE),--size "$(SIZE)") \
		$(if $(FOR),--python "$(FOR)") $(if $(WITHOUT),--without "$(WITHOUT)") $(filter-out --force,$(WHICH))

data: $(ENV) ## Fetch FER2013 from Kaggle into data/, or say how to get it
	@.venv/bin/python -m fer_lib data

weights: $(ENV) ## Fetch pretrained weights, or say how to get them. Option: ONLY=vgg16,caffenet
	@.venv/bin/python -m fer_lib weights $(if $(ONLY),--only "$(ONLY)")

report: $(ENV) ## Write the report again from the runs that are there. Option: PROFILE=
	@.venv/bin/python -m fer_lib report $(if $(PROFILE),--profile "$(PROFILE)")

check-results: $(ENV) ## Make committed runs again, compare with their records. Options: ONLY= SEED= EPOCHS=
	@exec .venv/bin/python -m fer_lib check-results --parent $$PPID $(subst $(comma), ,$(ONLY)) \
		$(if $(SEED),--seed "$(SEED)") $(if $(EPOCHS),--epochs "$(EPOCHS)")

article: $(ENV) ## Print docs/article.md, which report writes, as docs/article.pdf
	@.venv/bin/python -m fer_lib article

audit: $(ENV) ## List FER2013's duplicates, leaked rows, conflicting labels and flat images
	@.venv/bin/python -m fer_lib audit

live-model: $(ENV) ## Train, calibrate and export the live model. Option: PROFILE=
	@exec .venv/bin/python -m fer_lib live-model --parent $$PPID $(if $(PROFILE),--profile "$(PROFILE)")

demo: $(ENV) ## Show the network at work on your camera, in your browser; nothing leaves the machine
	@.venv/bin/python web/build.py
	@echo "Open http://localhost:8000 in a browser; Ctrl-C ends it."
	@.venv/bin/python -m http.server --bind 127.0.0.1 --directory web/build 8000

# JupyterLab refuses root, who is the usual user in a container. Its python3 is this environment's, as in all runs, not a
# kernel that JUPYTER_PATH or the user's own folder has by that name.
# JupyterLab would ask others for news, for its newest version and for extensions.
QUIET := --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate \
	--LabApp.extension_manager=readonly
lab: $(ENV) ## Open the notebooks in JupyterLab
	JUPYTER_PATH= JUPYTER_PREFER_ENV_PATH=1 .venv/bin/jupyter lab $(QUIET) $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

bench: $(ENV) ## Measure how fast loading, training and starting are. Option: KEEP=1
	@.venv/bin/python bench/bench.py $(if $(call yes,$(KEEP)),--keep)

bench-growth: $(ENV) ## Measure how time and memory grow with rows and records. Option: KEEP=1
	@.venv/bin/python bench/growth.py $(if $(call yes,$(KEEP)),--keep)

bench-ingest: $(ENV) ## Measure how fast AffectNet is read, on 20,000 generated pictures. Option: KEEP=1
	@.venv/bin/python bench/ingest.py $(if $(call yes,$(KEEP)),--keep)

bench-live: $(ENV) ## Measure how fast faces are found and classified live. Option: KEEP=1
	@.venv/bin/python bench/live.py $(if $(call yes,$(KEEP)),--keep)

bench-peers: $(ENV) .venv-peers/.installed ## Measure speed and accuracy beside the PyPI package fer. Option: KEEP=1
	@.venv/bin/python bench/peers.py $(if $(call yes,$(KEEP)),--keep)

# One notebook's cells share a kernel, one module's tests share fixtures: each goes to one worker as a whole (loadscope),
# in the order of tests/conftest.py, not of their number of tests.
test: lint ## Lint, the fast tests and every notebook
	.venv/bin/pytest -rs -m "not slow" -n 2 --dist loadscope --no-loadscope-reorder \
		--nbval-lax --nbval-current-env --nbval-cell-timeout=300 notebooks tests

test-slow: $(ENV) $(JAX_ENV) ## The slow tests, and the same networks and notebook on JAX without TensorFlow
	.venv/bin/pytest -rs -m slow -n 2 --dist loadscope
	KERAS_BACKEND=jax .venv-jax/bin/pytest -n 2 --dist loadscope -m "not slow" tests/models/test_models.py \
		tests/models/test_related.py tests/training \
		tests/runs/test_runs.py tests/runs/test_make.py tests/runs/test_transport.py tests/test_system.py
	KERAS_BACKEND=jax .venv-jax/bin/pytest tests/models/test_pretrained.py tests/models/test_weight_files.py \
		tests/models/test_weights.py

jax: $(JAX_ENV) ## Build .venv-jax, where networks train on JAX, without TensorFlow and Snakemake

# Root on Debian takes the system's package.
test-slurm: $(ENV) ## The smoke grid through a real Slurm of one node, with kills. Option: KEEP=1
	@command -v slurmctld >/dev/null && command -v munged >/dev/null || \
	{ [ "$$(id -u)" = 0 ] && grep -qs '^ID=debian' /etc/os-release && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge; } || \
	{ echo "Install Slurm: as root on Debian and Ubuntu, apt install slurm-wlm munge; then call this again." >&2; exit 1; }
	.venv/bin/python tests/slurm.py $(if $(call yes,$(KEEP)),--keep)

test-faults: $(ENV) ## Kill runs, fill disks and the like. Options: MOMENTS=50 PART=kills KEEP=1
	.venv/bin/python tests/faults.py $(if $(PART),--only "$(PART)") $(if $(MOMENTS),--moments "$(MOMENTS)") $(if $(call yes,$(KEEP)),--keep)

test-live: $(ENV) ## Hours of video through fer live, its memory watched. Options: MINUTES=120 KEEP=1
	.venv/bin/python tests/live_load.py $(if $(MINUTES),"$(MINUTES)") $(if $(call yes,$(KEEP)),--keep)

fuzz: $(ENV) ## Damage files of every kind, and see what readers do. Options: MINUTES=10 KEEP=1
	@.venv/bin/python tests/fuzz.py "$(or $(MINUTES),10)" $(if $(call yes,$(KEEP)),--keep)

# Root on Debian takes the system's package; everybody else what playwright fetches into his own cache.
browser: $(ENV) ## Get Chromium, in which the slow tests look at the pages
	@command -v chromium || command -v chromium-browser || command -v google-chrome || \
	{ [ "$$(id -u)" = 0 ] && grep -qs '^ID=debian' /etc/os-release && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } || \
	.venv/bin/playwright install --only-shell chromium

# PyTorch is no part of the study; a slow test holds the converted GoogLeNet against torchvision's, where it is there:
# in the system's Python, Debian's package, which root can get.
torch: ## Get torchvision, which a slow test compares with, or say how
	@/usr/bin/python3 -c 'import torchvision' 2>/dev/null || \
	{ [ "$$(id -u)" = 0 ] && grep -qs '^ID=debian' /etc/os-release && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-torchvision; } || \
	{ echo "Set FER_TEST_TORCH to a Python that has torchvision, then run the slow tests." >&2; exit 1; }

# What asks a database for known vulnerabilities may not be had, or get no answer: that is said, and the rest is checked.
audit-dependencies: $(ENV) ## Check locks and environments by their checksums, and ask for known vulnerabilities
	-@$(MAKE) --no-print-directory .venv-audit/.installed
	@.venv/bin/python tests/dependencies.py

lint: $(ENV) ## Check style and formatting with ruff
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

# The GPU and JAX locks are held to the versions of the first, so that environments differ by backend and nothing else.
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(if $(call yes,$(UPGRADE)),--upgrade)
lock: ## Compile all locks, also of bench/ and web/ (needs uv and npm). Option: UPGRADE=1
	$(COMPILE) pyproject.toml --extra study --extra lab --extra test --extra browser --extra data --extra export --extra blaze --extra tensorflow --extra fuzz -o requirements.lock
	$(COMPILE) pyproject.toml --extra study --extra lab --extra test --extra browser --extra data --extra export --extra blaze --extra gpu -c requirements.lock -o requirements-gpu.lock
	$(COMPILE) pyproject.toml --extra study --extra test --extra jax -c requirements.lock -o requirements-jax.lock
	$(COMPILE) --group audit -o requirements-audit.lock
	$(COMPILE) bench/peers.txt --overrides bench/peers_without.txt -o bench/peers.lock
	npm_config_omit_lockfile_registry_resolved=true npm install --prefix web --package-lock-only --ignore-scripts --no-audit --no-fund

clean: ## Remove the environments, caches and what drawn faces made; never a run on real data
	rm -rf .venv* .pytest_cache .ruff_cache .hypothesis .snakemake web/build
	[ ! -d results/local ] || find results/local -mindepth 1 -maxdepth 1 ! -name copy ! -name quick -exec rm -rf {} +
	find . -path ./data -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

$(ENV): $(LOCK) pyproject.toml
$(JAX_ENV): requirements-jax.lock pyproject.toml
# The stamp goes first and comes back last: what an interrupted build left behind has none, and is built from scratch.
$(ENV) $(JAX_ENV):
	@set -e; python="$(PYTHON)"; \
	if [ -z "$$python" ]; then \
		echo "No Python 3.11, 3.12 or 3.13 found as python3.11, python3.12 or python3." >&2; \
		echo "Install one (on Debian and Ubuntu: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi; \
	if [ -L $(@D) ]; then \
		echo "$(@D): found a link, which would be emptied where it points; expected a folder of this checkout; remove the link" >&2; \
		exit 1; \
	fi; \
	if [ -e $@ ]; then new=; else new=--clear; fi; \
	rm -f $@; \
	echo "Installing $< into $(@D) with $$("$$python" --version); there is $(if $(GPU),a,no) GPU."; \
	echo "The first time takes up to five minutes, and $(if $(findstring jax,$<),1.6 GB,$(if $(GPU),about 7 GB,3.6 GB)) of disk."; \
	if command -v uv >/dev/null; then \
		[ -z "$$new" ] || uv venv --quiet --clear --python "$$python" $(@D); \
		uv pip sync --quiet --python $(@D) --require-hashes $<; \
		uv pip install --quiet --python $(@D) --no-deps --no-build-isolation -e .; \
	else \
		"$$python" -m venv $$new $(@D); \
		$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<; \
		$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	fi; \
	touch $@

# `fer` without all that it asks for: bench/peers_without.txt says why.
.venv-peers/.installed: bench/peers.lock
	"$(PYTHON)" -m venv --clear .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	touch $@

.venv-audit/.installed: requirements-audit.lock
	"$(PYTHON)" -m venv --clear .venv-audit
	.venv-audit/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	touch $@
