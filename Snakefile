# Makes the runs that have no record yet: one rule for each kind of run, one run a notebook, executed by papermill.
# Which these are, the records decide, by content, never file times (`fer reproduce`; fer_lib/runs/engine.py puts them
# into jobs). A record is no output here: Snakemake deletes the outputs of a job that fails, and no record may go. What
# a job leaves instead is a mark, which goes when all is done.
JOBS = config["jobs"]
MARKS = config["marks"]


def planned(kind, wildcards):
    return JOBS[f"{kind}/{wildcards.number}"]


rule all:
    input:
        [f"{MARKS}/{job}" for job in JOBS],


# A thousand jobs that find the data in no cache would all read the pictures.
rule data:
    output:
        temp(touch(MARKS + "/data/{name}")),
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    shell:
        "cd {config[root]:q}; exec {config[python]:q} -c 'import sys; from fer_lib import runs; runs.dataset(sys.argv[1])' {wildcards.name}"


for kind in sorted({job["kind"] for job in JOBS.values()}):

    rule:
        name:
            kind
        input:
            lambda wildcards, kind=kind: [f"{MARKS}/data/{name}" for name in planned(kind, wildcards)["data"]],
        output:
            temp(touch(f"{MARKS}/{kind}/{{number}}")),
        params:
            job=lambda wildcards, kind=kind: planned(kind, wildcards),
        threads: lambda wildcards, kind=kind: planned(kind, wildcards)["resources"]["threads"]
        resources:
            gpu=lambda wildcards, kind=kind: planned(kind, wildcards)["resources"]["gpu"],
            # What was killed may have lacked memory or time: it goes on from its checkpoint with more of both.
            mem_mb=lambda wildcards, attempt, kind=kind: attempt * planned(kind, wildcards)["resources"]["mem_mb"],
            runtime=lambda wildcards, attempt, kind=kind: attempt * planned(kind, wildcards)["resources"]["minutes"],
            attempt=lambda wildcards, attempt: attempt,
        shell:  # exec: no shell in between, so that a run ends with its Snakemake
            "echo {params.job[title]:q}; cd {config[root]:q}; exec {config[python]:q} -m fer_lib run {params.job[runs]:q}"
            " --profile {params.job[profile]} --threads {threads} --attempt {resources.attempt} --parent $PPID"
