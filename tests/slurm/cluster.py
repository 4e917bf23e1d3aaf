"""A real Slurm on one machine: two nodes with 80 GB cards, one with a 24 GB card, one without any.

slurmctld, one slurmd a node and munged are started in the foreground as children, so that exactly these processes are
stopped. The cards are character devices that nothing reads: Slurm only counts and assigns them. No accounting database.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

CONFIG = Path("/etc/slurm")  # the Slurm plugin's job steps find no other place
# The first line of the files written here. One that was left behind by a killed run is written over.
MARK = "# Written by the tests of a workflow, for as long as they run."
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
NODES = {
    "big1": "Gres=gpu:a100:4 Feature=gpu80g",
    "big2": "Gres=gpu:h100:4 Feature=gpu80g",
    "small1": "Gres=gpu:a10:1 Feature=gpu24g",
    "cpu1": "",
}
SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
AccountingStoreFlags=job_comment
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
ReturnToService=2
MpiDefault=none
MinJobAge=7200
GresTypes=gpu
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdSpoolDir={folder}/%n
SlurmdPidFile={folder}/%n.pid
"""


def why_not() -> str | None:
    """The reason why no Slurm can be started here, or None."""
    if os.geteuid() != 0:
        return "a Slurm of one's own needs root"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (apt-get install slurm-wlm munge)"
    settings = CONFIG / "slurm.conf"
    if settings.exists() and not settings.read_text().startswith(MARK):
        return f"{CONFIG}/slurm.conf exists: this machine belongs to a cluster already"
    return None


class Cluster:
    """Started with `start`, always stopped with `stop`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen] = []

    def start(self) -> None:
        """Bring up all nodes; raises TimeoutError with the controller's log when they do not become idle."""
        (self.folder / "state").mkdir(parents=True)
        self._write_configuration()
        runtime = Path("/run/munge")
        runtime.mkdir(mode=0o755, exist_ok=True)
        shutil.chown(runtime, "munge", "munge")
        self._spawn("munged", "--foreground", user="munge")
        self._wait(lambda: Path("/run/munge/munge.socket.2").exists())
        self._spawn("slurmctld", "-D")
        for node in NODES:
            self._spawn("slurmd", "-D", "-N", node)
        self._wait(lambda: self._states() == ["idle"] * len(NODES))

    def stop(self) -> None:
        """Cancel what runs, end every process that was started, and take the configuration away."""
        subprocess.run(["scancel", "--user", "root"], check=False)
        time.sleep(1)
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        for name in ("slurm.conf", "gres.conf"):
            (CONFIG / name).unlink(missing_ok=True)

    def jobs(self) -> list[dict[str, str]]:
        """What Slurm itself recorded of every job, by the names of `scontrol show job`."""
        shown = subprocess.run(["scontrol", "show", "job", "--oneliner"], capture_output=True, text=True, check=True)
        lines = [line for line in shown.stdout.splitlines() if line.startswith("JobId=")]
        return [dict(field.split("=", 1) for field in line.split() if "=" in field) for line in lines]

    def _write_configuration(self) -> None:
        lines = [SLURM_CONF.format(host=socket.gethostname(), folder=self.folder)]
        gres = ["AutoDetect=off"]
        for place, (node, extra) in enumerate(NODES.items()):
            address = f"NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={17001 + place}"
            lines.append(f"NodeName={node} {address} CPUs=16 RealMemory=500000 {extra}")
            for kind, count in re.findall(r"gpu:(\w+):(\d+)", extra):
                cards = self._cards(node, int(count))
                gres += [f"NodeName={node} Name=gpu Type={kind} File={card}" for card in cards]
        lines.append(f"PartitionName=main Nodes={','.join(NODES)} Default=YES MaxTime=INFINITE")
        CONFIG.mkdir(exist_ok=True)
        (CONFIG / "slurm.conf").write_text("\n".join([MARK, *lines]) + "\n")
        (CONFIG / "gres.conf").write_text("\n".join([MARK, *gres]) + "\n")

    def _cards(self, node: str, count: int) -> list[Path]:
        cards = [self.folder / f"{node}-gpu{index}" for index in range(count)]
        for card in cards:
            os.mknod(card, 0o20600, os.makedev(1, 3))
        return cards

    def _spawn(self, *command: str, user: str | None = None) -> None:
        log = (self.folder / f"{'-'.join(command).replace('/', '')}.log").open("w")
        self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, user=user, group=user))

    @staticmethod
    def _states() -> list[str]:
        shown = subprocess.run(["sinfo", "-N", "-h", "-o", "%T"], capture_output=True, text=True, check=False)
        return shown.stdout.split()

    def _wait(self, ready, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                raise TimeoutError("\n".join(path.read_text() for path in self.folder.glob("*.log")))
            time.sleep(0.2)
