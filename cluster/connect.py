"""Connecting to Ray: this machine by default, the cluster at `--address`, or the one that a Ray job runs on."""

import functools
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Ray would report usage to its makers over the network; Earshot's users decide that themselves.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Workers that asked for no GPU see none: otherwise every scoring worker would load its model onto the first one.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")

import ray

from cluster.addresses import CLIENT, JOB_CONFIG, cluster_address
from cluster.faults import StartError
from cluster.head_watch import watch
from cluster.probing import ask, probe

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "jobs", "schemas", "cluster")
# Parts travel through files, so the object store holds only configs and counts: 100 MB is plenty.
OBJECT_STORE_BYTES = 100 * 2**20


def connect(
    address: str | None = None, num_cpus: int | None = None, environment: Mapping[str, str] | None = None
) -> None:
    """Make this process a Ray driver; does nothing if it is one already.

    Args:
        address: of a running cluster: auto, host:6379 of its head on one of its nodes, or ray://head:10001 elsewhere.
            None is the cluster of the Ray job that this process belongs to; outside a job, Ray on this machine.
        num_cpus: of this machine for Ray to use; None is all that this process may run on.
        environment: variables for the workers of a cluster, beside those of their nodes; here they have this process's.
    Raises:
        ConnectionError: no cluster answers at the address, it refuses this process, or Ray has no folder.
        StartError: Ray does not start on this machine.
    """
    if ray.is_initialized():
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if (address := cluster_address(address)) is None:
            _start(num_cpus)
        else:
            _join(address, environment or {})
    except SystemExit:  # Ray's own handler while it connects; the stages hear SIGTERM as an interrupt
        raise KeyboardInterrupt from None
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray puts its own there, which prints a trace and aborts


def _start(num_cpus: int | None) -> None:
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
        kind = StartError if folder.is_dir() else ConnectionError  # no folder appears by waiting
        raise kind(
            f"Ray did not start on this machine: {error} Found: load {os.getloadavg()[0]:.1f} on {usable} cores, "
            f"{room} {folder}. Where the machine is busy, wait; where the folder is full, make room or set "
            "RAY_TMPDIR to another. Then the same command goes on from here."
        ) from error


def _join(address: str, environment: Mapping[str, str]) -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)  # probing warns that a token is used
    probe(address)
    given = {"env_vars": dict(environment)} if environment else {}
    try:
        ray.init(address=address, runtime_env=_code() | given, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ConnectionError(f"--address {address}: its head answers, and Ray does not connect: {error}") from error
    _watch(address)


def _watch(address: str) -> None:
    """Look from now on whether the head answers, and the raylet of this process is there."""
    if address.startswith(CLIENT):
        watch(address, functools.partial(ask, address))
        return
    context = ray.get_runtime_context()
    here = next((node for node in ray.nodes() if node["NodeID"] == context.get_node_id()), None)
    raylet = None if here is None else (here["NodeManagerAddress"], int(here["NodeManagerPort"]))
    watch(address, functools.partial(ask, context.gcs_address), raylet)


def _code() -> dict[str, Any]:
    """The runtime environment that takes Earshot to the nodes, which need its dependencies only.

    Design note: packages, not the working directory, since a job has one already and Ray refuses a second.
    """
    job = json.loads(os.environ.get(JOB_CONFIG, "{}")).get("runtime_env") or {}
    return {} if "py_modules" in job else {"py_modules": [str(PROJECT / name) for name in PACKAGES]}
