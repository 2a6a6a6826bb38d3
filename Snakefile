# Executes the runs that `python -m fer_lib reproduce` lists: one run is one papermill command.
# What is missing or out of date is decided there, by the records, never by file times: hence no inputs, and as output
# only a mark that goes when all is done (Snakemake deletes declared outputs when a job fails, and no record may go).
import json
import sys

from fer_lib import paths, runs

PROFILE = config["profile"]
TODO = {f"{name}-seed{seed}": (name, seed) for name, seed in json.load(open(config["todo"]))}
NUMBER = {run: f"{k} of {len(TODO)}" for k, run in enumerate(TODO, 1)}
KNOWN = runs.experiments()
GPU = runs.has_gpu()
MARK = str(paths.RESULTS / "local" / "done" / PROFILE / "{run}")


def small(wildcards):
    return PROFILE == "smoke" or "backend" in KNOWN[TODO[wildcards.run][0]]


rule all:
    input:
        expand(MARK, run=TODO),


rule run:
    output:
        temp(touch(MARK)),
    params:
        python=sys.executable,
        experiment=lambda wildcards: TODO[wildcards.run][0],
        seed=lambda wildcards: TODO[wildcards.run][1],
        number=lambda wildcards: NUMBER[wildcards.run],
    threads: lambda wildcards: 1 if small(wildcards) else workflow.cores
    resources:
        gpu=lambda wildcards: 1 if GPU and not small(wildcards) else 0,
    shell:
        "echo 'run {params.number}: {params.experiment} seed {params.seed}'; "
        "OMP_NUM_THREADS={threads} TF_NUM_INTRAOP_THREADS={threads} TF_NUM_INTEROP_THREADS=1 "
        "'{params.python}' -m fer_lib run {params.experiment} --seed {params.seed} --profile " + PROFILE + " 2>/dev/null"
