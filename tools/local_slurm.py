"""Slurm on this machine alone, for rehearsals and tests: python tools/local_slurm.py up DIR.

Real daemons on the loopback interface, with ports, keys, state and logs of their own in DIR; an existing
Slurm is neither read nor touched. A shell that uses it sources DIR/environment.sh first. Every daemon has DIR
in its command line and every job has SLURM_CONF in its environment: `down` finds them by these, so it needs
no pid file that could be stale.
"""

import argparse
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PARTITION = "rehearsal"
DAEMONS = ("munged", "slurmctld", "slurmd")  # in the order of starting
START_S, STOP_S = 60.0, 15.0
SOCKET_LENGTH = 107  # the most that Linux takes
PACKAGES = ["slurm-wlm", "munge"]
DEVICES = ("null", "zero", "full", "random", "urandom")  # stand-ins for GPUs; nothing opens them
SLURM_CONF = """\
ClusterName={PARTITION}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0
ReturnToService=2
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/none
MinJobAge=300
KillWait=5
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CoresPerSocket={cpus} RealMemory={memory_mb} Gres=gpu:{gpus}
PartitionName={PARTITION} Nodes={host} Default=YES MaxTime=INFINITE
"""
# Snakemake's Slurm plugin removes SLURM_CONF from the environment of the srun inside a job. {srun} may itself
# be such a wrapper, of another folder.
SRUN = """\
#!/bin/sh
SLURM_CONF="${{SLURM_CONF-{folder}/slurm.conf}}" exec {srun} "$@"
"""
ENVIRONMENT = """\
export SLURM_CONF='{folder}/slurm.conf'
export PATH='{folder}/bin':"$PATH"
"""


def slurm_conf(folder: Path, gpus: int, ports: list[int]) -> str:
    """Return the text of slurm.conf. gpus: how many GPUs to count; ports: of the daemons."""
    memory_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    return SLURM_CONF.format(
        PARTITION=PARTITION,
        host=socket.gethostname().split(".")[0],
        user=getpass.getuser(),
        folder=folder,
        cpus=max(2, os.cpu_count() or 1),  # two processes train
        memory_mb=memory_mb,
        gpus=gpus,
        ports=ports,
    )


def gres_conf(gpus: int) -> str:
    """Return the text of gres.conf: Slurm sets CUDA_VISIBLE_DEVICES only where each GPU has a device file."""
    return "".join(["AutoDetect=off\n", *(f"Name=gpu File=/dev/{name}\n" for name in DEVICES[:gpus])])


def free_ports(count: int) -> list[int]:
    """Return unused ports of the loopback interface."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def processes() -> Iterator[tuple[int, list[bytes], list[bytes], Path]]:
    """Yield process id, command line, environment and folder of each process that this user may read."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command, environ = ((entry / name).read_bytes().split(b"\0") for name in ("cmdline", "environ"))
            folder = os.readlink(entry / "cwd").removesuffix(" (deleted)")
        except OSError:  # gone, or another user's
            continue
        yield int(entry.name), command, environ, Path(folder)


def daemons(folder: Path) -> dict[str, int]:
    """Return the process ids of this folder's running daemons, by name."""
    prefix = os.fsencode(folder) + b"/"
    return {
        name: pid
        for pid, command, *_ in processes()
        if (name := os.path.basename(os.fsdecode(command[0]))) in DAEMONS
        and any(prefix in argument for argument in command[1:])
    }


def job_processes(folder: Path) -> list[int]:
    """Return the processes of this folder's jobs, and Slurm's own that supervise them."""
    conf = b"SLURM_CONF=" + os.fsencode(folder / "slurm.conf")
    return [
        pid
        for pid, command, environ, where in processes()
        if (conf in environ and any(entry.startswith(b"SLURM_JOB_ID=") for entry in environ))
        or (where == folder and command[0].startswith(b"slurmstepd"))
    ]


def environment(folder: Path) -> dict[str, str]:
    """Return the caller's environment for this folder's Slurm, without variables of another Slurm."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("SLURM")}
    return inherited | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": search_path()}


def search_path() -> str:
    """Return PATH with the folders where Debian keeps daemons."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def ask(folder: Path, *command: str) -> str:
    """Return what a Slurm command prints, empty if it fails or takes too long."""
    try:
        done = subprocess.run(command, env=environment(folder), capture_output=True, text=True, timeout=10)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def ready(folder: Path) -> bool:
    return ask(folder, "sinfo", "-h", "-o", "%T") in ("idle", "mixed", "allocated")


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    limit = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < limit:
        time.sleep(0.2)
    return met


def missing() -> list[str]:
    """Return the required programs that are not installed."""
    programs = [*DAEMONS, "sbatch", "srun", "squeue", "sinfo", "scancel"]
    return [name for name in programs if not shutil.which(name, path=search_path())]


def install() -> None:
    """Install Slurm on Debian as root; elsewhere exit with what to do instead."""
    if not missing():
        return
    release = Path("/etc/os-release")
    debian = release.is_file() and "debian" in release.read_text(encoding="utf-8") and shutil.which("apt-get")
    if not debian or os.geteuid() != 0:
        sys.exit("there is no Slurm here, and only root on Debian gets it installed: use the local executor")
    print(f"installing the Debian packages {' and '.join(PACKAGES)} with apt-get", flush=True)
    apt = ["apt-get", "-qq"]
    command = [*apt, "install", "-y", "--no-install-recommends", *PACKAGES]
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL).returncode != 0:
        # The lists of packages may be outdated or missing.
        subprocess.run([*apt, "update"], env=quiet)
        if subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL).returncode != 0:
            sys.exit(f"apt-get could not install {' and '.join(PACKAGES)}: use the local executor")


def up(folder: Path, gpus: int) -> None:
    """Start Slurm, unless it runs, and wait until it accepts jobs."""
    if lacking := missing():
        sys.exit(f"not installed: {', '.join(lacking)}; run: python tools/local_slurm.py install")
    longest = f"{folder}/spool/{socket.gethostname()}_12345.4294967291"  # a socket of slurmd
    if len(longest) > SOCKET_LENGTH or " " in longest:
        sys.exit(
            f"Slurm cannot live in {folder!s}: too long a path, or one with spaces; choose another folder"
        )
    if set(daemons(folder)) == set(DAEMONS) and ready(folder):
        print(f"Slurm runs already; for its use: . {folder}/environment.sh")
        return
    down(folder)
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("bin", "spool", "state"):
        (folder / name).mkdir(parents=True)
    (folder / "slurm.conf").write_text(slurm_conf(folder, gpus, free_ports(2)), encoding="utf-8")
    (folder / "gres.conf").write_text(gres_conf(gpus), encoding="utf-8")
    (folder / "environment.sh").write_text(ENVIRONMENT.format(folder=folder), encoding="utf-8")
    srun = folder / "bin/srun"
    srun.write_text(
        SRUN.format(folder=folder, srun=shutil.which("srun", path=search_path())), encoding="utf-8"
    )
    srun.chmod(0o755)
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    # --force: a temporary folder that only its owner may enter suffices here.
    own = {name: folder / f"munge.{name}" for name in ("pid", "log", "seed")}
    start(folder, "munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={key}",
          *(f"--{name}-file={path}" for name, path in own.items()))  # fmt: skip
    if not wait((folder / "munge.socket").exists, START_S):
        give_up(folder)
    start(folder, "slurmctld", "-D", "-c", "-f", f"{folder}/slurm.conf")
    start(folder, "slurmd", "-D", "-f", f"{folder}/slurm.conf")
    if not wait(lambda: ready(folder), START_S):
        give_up(folder)
    print(f"Slurm is up with partition {PARTITION}; for its use: . {folder}/environment.sh")


def start(folder: Path, daemon: str, *arguments: str) -> None:
    """Start a daemon in a session of its own, so that a Ctrl-C leaves it to `down`."""
    program = shutil.which(daemon, path=search_path())
    with open(folder / f"{daemon}.log", "w", encoding="utf-8") as log:
        subprocess.Popen(
            [program, *arguments],
            env=environment(folder),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def give_up(folder: Path) -> None:
    """Print the daemons' logs, stop them and exit."""
    running = daemons(folder)
    for daemon in DAEMONS:
        log = folder / f"{daemon}.log"
        if log.exists():
            state = "runs" if daemon in running else "has stopped"
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            print(f"--- {daemon} {state}; the end of {log}:\n{tail}", file=sys.stderr)
    print(ask(folder, "sinfo", "-N", "-o", "%N %T %E"), file=sys.stderr)
    down(folder)
    sys.exit(f"Slurm did not start within {START_S:.0f} s")


def down(folder: Path) -> None:
    """Cancel all jobs and stop the daemons; only files remain."""
    if "slurmctld" in daemons(folder) and ask(folder, "squeue", "-h"):
        ask(folder, "scancel", f"--partition={PARTITION}")
        wait(lambda: not ask(folder, "squeue", "-h"), STOP_S)
    # Children of a killed daemon wait for it for ever and ignore other signals.
    stop(lambda: job_processes(folder), signal.SIGKILL)
    for daemon in reversed(DAEMONS):
        stop(lambda name=daemon: [pid for pid in [daemons(folder).get(name)] if pid], signal.SIGTERM)


def stop(pids: Callable[[], list[int]], first: signal.Signals) -> None:
    """End processes, by force if the first signal does not end them within some seconds."""
    for sent in (first, signal.SIGKILL):
        for pid in pids():
            try:
                os.kill(pid, sent)
            except ProcessLookupError:
                pass
        if wait(lambda: not pids(), STOP_S):
            return


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="Debian packages, as root on Debian alone")
    for name in ("up", "down"):
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path, help="all that belongs to it")
    commands.choices["up"].add_argument(
        "--gpus", type=int, default=2, choices=range(len(DEVICES) + 1), help="GPUs that are only counted"
    )
    chosen = parser.parse_args(arguments)
    if chosen.command == "install":
        install()
    elif chosen.command == "up":
        up(chosen.folder.resolve(), chosen.gpus)
    else:
        down(chosen.folder.resolve())


if __name__ == "__main__":
    main()
