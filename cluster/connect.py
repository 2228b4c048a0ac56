"""Connecting to Ray: this machine by default, or the cluster at `--address`."""

import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

# Ray would report usage to its makers over the network; Earshot's users decide that themselves.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Workers that asked for no GPU see none: otherwise every scoring worker would load its model onto the first one.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")

import ray

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "jobs", "schemas", "cluster")
# Parts travel through files, so the object store holds only configs and counts: 100 MB is plenty.
OBJECT_STORE_BYTES = 100 * 2**20


def connect(address: str | None = None, num_cpus: int | None = None) -> None:
    """Make this process a Ray driver; does nothing if it is one already.

    Args:
        address: of a running cluster, such as auto or ray://head:10001; None starts Ray on this machine.
        num_cpus: of this machine for Ray to use; None is all that this process may run on.
    Raises:
        ConnectionError: no cluster answers at the address, or Ray does not start here.
    """
    if ray.is_initialized():
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _init(address, num_cpus)
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray puts its own there, which prints a trace and aborts


def _init(address: str | None, num_cpus: int | None) -> None:
    if address is None:
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        print("starting Ray on this machine", file=sys.stderr, flush=True)  # 5 s; a minute where it is busy
        try:
            ray.init(
                address="local",  # not the cluster that RAY_ADDRESS or an earlier `ray start` left
                num_cpus=num_cpus or usable,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:  # Ray raises no less where its processes do not answer
            folder = Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir()))
            room = f"{shutil.disk_usage(folder).free / 2**30:.1f} GiB free in" if folder.is_dir() else "no folder"
            raise ConnectionError(
                f"Ray did not start on this machine: {error} Found: load {os.getloadavg()[0]:.1f} on {usable} cores, "
                f"{room} {folder}. Where the machine is busy, wait; where the folder is full, make room or set "
                "RAY_TMPDIR to another. Then the same command goes on from here."
            ) from error
        return
    # On a cluster the code travels: the nodes need the dependencies, not Earshot itself.
    excludes = [f"/{path.name}" for path in PROJECT.iterdir() if path.name not in PACKAGES]
    try:
        ray.init(
            address=address,
            runtime_env={"working_dir": str(PROJECT), "excludes": excludes},
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ConnectionError as error:
        raise ConnectionError(f"--address {address}: no Ray cluster answers there ({error}).") from None
