# Executes the runs that `fer reproduce` lists: one run is one notebook, executed by papermill.
# What is missing or out of date is decided there, by the records, never by file times: hence no inputs, and as output
# only a mark that goes when all is done (Snakemake deletes declared outputs when a job fails, and no record may go).
RUNS = config["runs"]
MARK = config["marks"] + "/{run}"


rule all:
    input:
        expand(MARK, run=RUNS),


rule run:
    output:
        temp(touch(MARK)),
    params:
        title=lambda wildcards: RUNS[wildcards.run]["title"],
        command=lambda wildcards: RUNS[wildcards.run]["command"],
    threads: lambda wildcards: 1 if RUNS[wildcards.run]["light"] else workflow.cores
    resources:
        gpu=lambda wildcards: RUNS[wildcards.run]["gpu"],
    shell:
        "echo {params.title:q}; exec {params.command} --threads {threads} --parent $PPID"  # exec: no shell in between
