"""The smoke grid through a real Slurm of one node, with kills in the middle: ``make test-slurm``.

It starts munge, slurmctld and slurmd as the calling user in a folder of their own, with two GPUs that are made up, and
sends the runs of PROFILE=smoke through them from a copy of this checkout, while it kills a run, the controller of the
cluster, and the study's own call. In the end the records must be those of ``make reproduce PROFILE=smoke`` on this
machine, byte for byte, but for where they are from. ``--keep`` writes what happened into docs/cluster.md.
"""

import argparse
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import small_study
from small_study import differing, processes, records_of

from fer_lib import paths
from fer_lib.report import parts
from fer_lib.runs import plan

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "sinfo")
HOW = "on Debian and Ubuntu as root: apt install slurm-wlm munge"
SHORT = "saravanan2019/table1_feedforward"
"""The experiment whose job gets too little memory at first."""
TREE = "saravanan2019/table1_decision_tree"
"""The experiment that is repeated, and interrupted."""
TOO_LITTLE = 0.5
"""Gigabytes that it asks for: less than Keras takes, while the third attempt's three times as much are enough."""
WAIT = 900
"""Seconds in which whatever is waited for has to come."""
CONF = """\
ClusterName=fer
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.txt
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SlurmdParameters=config_overrides
GresTypes=gpu
MinJobAge=600
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def daemon(folder: Path, *command: str) -> subprocess.Popen:
    """Start a daemon in the foreground, what it prints in ``<name>.out``."""
    with open(folder / f"{Path(command[0]).name}.out", "ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)


def wait_for(what: str, come: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    """Wait until something has come. Raises RuntimeError where it does not in ``WAIT`` seconds, or its process ends."""
    deadline = time.monotonic() + WAIT
    while not come():
        if process and process.poll() is not None:
            raise RuntimeError(f"{what}: not come before the call ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not come in {WAIT} seconds")
        time.sleep(0.2)


class Cluster:
    """A Slurm of one node; ``controller`` is its slurmctld, which may be killed and started again."""

    def __init__(self, folder: Path):
        self.folder, self.daemons = folder, {}
        for name in ("state", "spool"):
            (folder / name).mkdir()
        for name in ("gpu0", "gpu1"):  # as devices nobody opens
            (folder / name).touch()
        host, user = socket.gethostname().split(".")[0], psutil.Process().username()
        cores, memory = max(2, os.cpu_count() or 1), psutil.virtual_memory().total // 2**20 - 1000
        conf = CONF.format(
            host=host, user=user, ports=free_ports(2), folder=folder, cores=cores, memory=max(memory, 9000)
        )
        (folder / "slurm.conf").write_text(conf)
        (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File={folder}/gpu[0-1]\n")
        (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
        (folder / "munge.key").chmod(0o400)
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        # Snakemake's plugin takes SLURM_CONF, as all of SLURM_*, out of a job's environment before it calls srun.
        (folder / "bin").mkdir()
        srun = folder / "bin" / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        os.environ["PATH"] = f"{folder}/bin:{os.environ['PATH']}"

    def start(self) -> None:
        at = self.folder
        self.daemons["munged"] = daemon(
            at, "munged", "--foreground", "--force", f"--key-file={at}/munge.key", f"--socket={at}/munge.socket",
            f"--pid-file={at}/munged.pid", f"--seed-file={at}/munged.seed", f"--log-file={at}/munged.log",
        )  # fmt: skip
        wait_for("munge's socket", (at / "munge.socket").exists, self.daemons["munged"])
        self.start_controller()
        self.daemons["slurmd"] = daemon(at, "slurmd", "-D")
        wait_for("an idle node", lambda: "idle" in self.ask("sinfo", "--noheader", "--format", "%T"))

    def start_controller(self) -> None:
        self.daemons["slurmctld"] = daemon(self.folder, "slurmctld", "-D", "-i")
        wait_for("the controller", lambda: "UP" in self.ask("scontrol", "ping"), self.daemons["slurmctld"])

    def kill_controller(self) -> None:
        self.daemons["slurmctld"].kill()
        self.daemons["slurmctld"].wait()

    def ask(self, *command: str) -> str:
        with suppress(subprocess.TimeoutExpired):  # as while the controller is away
            return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout
        return ""

    def jobs(self, state: str = "") -> list[str]:
        """The ids of all jobs there are or, within ten minutes, were; or those in a state."""
        answer = self.ask("squeue", "--noheader", "--states=all", "--format", "%A %T").splitlines()
        return [line.split()[0] for line in answer if state in line]

    def stop(self) -> None:
        self.ask("scancel", "--user", psutil.Process().username())
        for process in reversed(self.daemons.values()):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A Slurm that runs; its folder, with all logs, stays where something went wrong."""
    folder = Path(tempfile.mkdtemp(prefix="fer-slurm-"))
    own = Cluster(folder)
    try:
        own.start()
        yield own
    except BaseException:
        say(f"Slurm's logs: {folder}")
        raise
    finally:
        own.stop()
    shutil.rmtree(folder)


def copy_with_little_memory(folder: Path) -> None:
    """The copy in which one experiment's jobs ask for too little memory."""
    small_study.copy_of_the_project(folder)
    file = folder / "experiments" / f"{SHORT}.yaml"
    text = file.read_text()
    with_little = re.sub(r"^expect: \{", f"expect: {{memory_gb: {TOO_LITTLE}, ", text, flags=re.MULTILINE)
    assert with_little != text
    file.write_text(with_little)
    file = folder / "profiles" / "slurm" / "config.yaml"  # the trial does not wait so long for news
    file.write_text(re.sub(r"(?m)^(slurm-init-seconds-\S+:) \d+", r"\1 10", file.read_text()))


def jobs_of_several(study: Path) -> list[psutil.Process]:
    """The jobs at work that make several runs, one after the other."""
    return processes(study, lambda line: "-m fer_lib run " in " ".join(line) and " ".join(line).count(":") > 2)


def trial(folder: Path, slurm: Cluster) -> dict:
    """Send the smoke grid through a cluster, with kills; what happened, in numbers. Raises RuntimeError on failure."""
    study, local = folder / "study", folder / "study" / "results" / "local"
    study.mkdir()
    copy_with_little_memory(study)
    environment = os.environ | {"PYTHONPATH": str(study), "FER_CLUSTER": "slurm"}
    command = [sys.executable, "-m", "fer_lib", "reproduce", "--profile", "smoke", "--cluster", "slurm", "--jobs", "1"]

    def call(number: int) -> subprocess.Popen:
        with open(folder / f"call{number}.txt", "w") as out:
            return subprocess.Popen(
                command, cwd=study, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
            )  # fmt: skip

    def printed(number: int) -> str:
        return (folder / f"call{number}.txt").read_text()

    def checkpoints() -> list[Path]:
        return list(local.glob("smoke/unfinished/*/*/*/checkpoint-*/state.json"))

    def made() -> int:
        return len(list(local.glob("smoke/runs/*/*/*/metrics.json")))

    facts = {"started": time.monotonic(), "version": slurm.ask("sinfo", "--version").split()[-1]}
    first = call(1)
    wait_for("a run with a checkpoint", checkpoints, first)
    place = checkpoints()[0].parents[1].relative_to(local / "smoke" / "unfinished")
    kernel = next(iter(processes(study, lambda line: "ipykernel_launcher" in line)), None)
    if kernel:
        kernel.kill()
        say(f"killed a kernel while {place.parent} was under way")
    facts["kernels"] = int(kernel is not None)
    wait_for("a second running job", lambda: len(slurm.jobs("RUNNING")) > 1 and made() > 2, first)
    slurm.kill_controller()
    say("killed slurmctld, the cluster's controller")
    time.sleep(15)
    slurm.start_controller()
    say("started it again")
    before = made()
    wait_for("two more records", lambda: made() >= before + 2, first)
    wait_for("a running job", lambda: slurm.jobs("RUNNING"), first)
    first.send_signal(signal.SIGKILL)
    first.wait()
    facts["left"] = len(slurm.jobs("RUNNING")) + len(slurm.jobs("PENDING"))
    say(f"killed the study's call; it left {facts['left']} jobs in the queue, {made()} records are there")
    if not facts["left"]:
        raise RuntimeError("found no job left by the call that was killed, expected some; the kill came too late")
    second = call(2)
    before = made()
    wait_for("two records, and a job of several runs", lambda: made() >= before + 2 and jobs_of_several(study), second)
    jobs_of_several(study)[0].kill()
    say("killed a job of several runs, of which some were made")
    wait_for("the end of the second call", lambda: second.poll() is not None)
    if second.returncode:
        raise RuntimeError(f"the second call ended with {second.returncode}, expected 0:\n{printed(2)[-3000:]}")
    if not re.search(r"^\d+ jobs of an earlier call are still there; they are cancelled", printed(2), re.MULTILINE):
        raise RuntimeError(f"the second call did not cancel what the first left:\n{printed(2)[:2000]}")
    say(f"the second call ended: {printed(2).splitlines()[-2]}")
    third = call(3)
    if third.wait() or "nothing to do" not in printed(3):
        raise RuntimeError(f"a third call found something to do:\n{printed(3)[-2000:]}")
    command += ["--force", "--only", TREE]
    fourth = call(4)
    wait_for("a job of the fourth call", lambda: slurm.jobs("RUNNING") or slurm.jobs("PENDING"), fourth)
    os.killpg(fourth.pid, signal.SIGINT)  # as a terminal does
    say("pressed Ctrl-C in a call that repeats a run")
    if (code := fourth.wait()) != 130 or slurm.jobs("RUNNING") or slurm.jobs("PENDING"):
        raise RuntimeError(f"after Ctrl-C: found exit code {code} and jobs in the queue, expected 130 and none")
    facts["seconds"] = time.monotonic() - facts.pop("started")
    both = printed(1) + printed(2)
    facts["jobs"] = both.count("has been submitted with SLURM jobid")
    facts["retries"] = both.count("Trying to restart job")
    facts["gpus"] = slurm.ask("squeue", "--noheader", "--states=all", "--Format", "tres-per-job").count("gpu")
    ended = re.findall(r"JobState=(\w+)", (slurm.folder / "jobs.txt").read_text())
    facts["states"] = {state: ended.count(state) for state in sorted(set(ended))}
    logs = [path.read_text(errors="replace") for path in (local / "logs").rglob("*.log")]
    facts["memory"] = sum("exceeded memory limit" in text for text in logs)
    if not facts["memory"] or facts["retries"] < 2:
        raise RuntimeError(f"found {facts}, expected jobs that were tried again, one of them with more memory")
    if not any("an earlier attempt made it" in text for text in logs):
        raise RuntimeError("found no job that left out what its earlier attempt had made, expected the killed one")
    return facts


def in_words(facts: dict, compared: int) -> str:
    """The summary, in Markdown."""
    states = ", ".join(f"{count} {state.lower()}" for state, count in facts["states"].items())
    told = (
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, Slurm {facts['version']} of one node with {os.cpu_count()} cores "
        f"and two made-up GPUs: {compared} runs in {facts['jobs']} jobs, {facts['gpus']} of them with a GPU; they "
        f"ended as {states}. Killed on the way: {facts['kernels']} run's kernel, the cluster's controller, a job "
        f"of several runs, and the study's own call, which left {facts['left']} jobs in the queue. {facts['memory']} "
        f"jobs had too little memory, as was arranged; {facts['retries']} were tried again. All {compared} records are "
        f"those of the same runs without Slurm, byte for byte but for where they are from. It took "
        f"{facts['seconds'] / 60:.0f} minutes."
    )
    return textwrap.fill(told, 120, break_on_hyphens=False) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="slurm.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--keep", action="store_true", help="write the summary into docs/cluster.md, to commit")
    options = parser.parse_args()
    if lacking := [program for program in PROGRAMS if not shutil.which(program)]:
        print(f"error: found no {', '.join(lacking)}, expected Slurm and munge; {HOW}", file=sys.stderr)
        return 1
    local = paths.results_folder("smoke")
    if plan.missing(plan.wanted("smoke")):
        say("the same runs without Slurm come first: make reproduce PROFILE=smoke")
        subprocess.run([sys.executable, "-m", "fer_lib", "reproduce", "--profile", "smoke"], cwd=paths.ROOT, check=True)
    folder = Path(tempfile.mkdtemp(prefix="fer-cluster-"))
    try:
        with cluster() as slurm:
            facts = trial(folder, slurm)
    except (RuntimeError, AssertionError) as error:
        print(f"FAILED: {error}\nAll that was printed: {folder}", file=sys.stderr)
        return 1
    ours, theirs = records_of(local), records_of(folder / "study" / "results" / "local" / "smoke")
    if unlike := differing(ours, theirs):
        print("FAILED: with Slurm the records are others:", *unlike, f"See {folder}", sep="\n", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    summary = in_words(facts, len(ours))
    print(summary)
    if options.keep:
        parts.put(parts.CLUSTER, "make test-slurm", summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
