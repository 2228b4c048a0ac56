"""Bytes and weights of `earshot run` through losses on a cluster of three nodes, over those of an undisturbed run.

Usage: python -m benchmarks.chaos [--runs 10 | --only NUMBER ...] [--seed 0]

16 videos of the synthetic world in 4 parts; every stage of the preset `tiny`, with trainings of a few steps on two
processes. Three nodes of one CPU are processes of this machine. In each run SIGKILL goes to a node, a worker, a
training process, the driver or the head at a random moment; a lost node is replaced after 5 s. In the last three runs
of ten the root is on an S3 endpoint of this machine that is also gone for ten seconds. Where the driver died or ended
because the head was lost, the same command is given again, on a new cluster. Compared are the bytes of clips, scores,
selections and mixtures, and every number of the models. Linux only, because processes are found in /proc.
"""

import argparse
import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ray.cluster_utils import Cluster

from pipeline.storage import files
from pipeline.synthetic.planning import WorldConfig
from pipeline.synthetic.rendering import render_scene
from pipeline.synthetic.truth import write_labels
from tests.helpers.kills import PROJECT, find
from tests.helpers.proxied_store import BUCKET, Proxy, proxied_store

WORLD = WorldConfig(num_videos=16, seed=5, duration_s=5.0)
SPLITS = ("train",) * 8 + ("validate",) * 4 + ("test",) * 4
TRAININGS = ("coincidence.training", "separation.training", "separation.audio_training")
SETTINGS = (
    "collecting.videos_per_part=4",
    "mixing.examples_per_part=8",
    "coincidence.matching.num_steps=20",
    "separation.calibration.num_examples=8",
    *(f"{name}.{field}" for name in TRAININGS for field in ("num_steps=8", "checkpoint_every=2", "batch_size=4")),
)
VICTIMS = ("node", "worker", "trainer", "driver", "head")
ENDS = ("driver", "head")  # with them the command ends, and is given again
DATA = ("clips", "mixtures", "tables/clips", "tables/videos", "tables/scores", "tables/selections", "tables/mixtures")
MODELS = ("coincidence", "separator", "separation")
REPLACED_AFTER_S, OUTAGE_S, LIMIT_S, MAX_TRIES = 5.0, 10.0, 1200.0, 3


class Outcome(NamedTuple):
    """How a command ended."""

    exit_code: int
    took_s: float
    killed_at_s: float | None
    """When the victim was found and killed; None where it never was."""
    stderr: str


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the runs, from 0, in place of the first --runs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    numbers = options.only or range(options.runs)
    with tempfile.TemporaryDirectory() as folder, proxied_store() as proxy:
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{proxy.port}"
        render(Path(folder) / "world")
        whole = run(Path(folder), f"{folder}/undisturbed")
        if whole.exit_code:
            print(whole.stderr)
            return 1
        expected = content(f"{folder}/undisturbed")
        print(f"undisturbed: {whole.took_s:.0f} s, sha256 {expected[:16]}", flush=True)
        num_equal = 0
        for number in numbers:
            random = np.random.default_rng([options.seed, number])
            is_remote = number % 10 >= 7
            root = f"{BUCKET}/{number:03d}" if is_remote else f"{folder}/{number:03d}"
            victim, after_s = VICTIMS[number % len(VICTIMS)], random.uniform(0.05, 0.95) * whole.took_s
            outage_at_s = random.uniform(0.05, 0.95) * whole.took_s if is_remote else None
            first = last = run(Path(folder), root, victim, after_s, proxy, outage_at_s)
            tries = 0
            while victim in ENDS and last.exit_code and tries < MAX_TRIES:
                left_s = None if outage_at_s is None else outage_at_s - first.took_s  # it may have ended before
                left_s = left_s if tries == 0 and left_s is not None and left_s > 0 else None
                last, tries = run(Path(folder), root, None, 0.0, proxy, left_s), tries + 1
            is_equal = last.exit_code == 0 and content(root) == expected
            num_equal += is_equal
            when = "never found" if first.killed_at_s is None else f"killed at {first.killed_at_s:.0f} s"
            when += f", S3 gone at {outage_at_s:.0f} s" if outage_at_s is not None else ""
            end = f"exit {first.exit_code} after {first.took_s:.0f} s, went on {tries} times"
            result = "same bytes and weights" if is_equal else f"DIFFERENT: {last.stderr[-2000:]}"
            print(f"{number:3d} {victim:7} {when}: {end}, {result}", flush=True)
    print(f"{num_equal} of {len(numbers)} runs gave the bytes and the weights of the undisturbed run")
    return int(num_equal < len(numbers))


def render(folder: Path) -> None:
    """The videos, their labels and collection.csv, which prescribes the splits."""
    folder.mkdir()
    rows = ["uri,split"]
    for index, split in enumerate(SPLITS):
        rows.append(f"videos/{render_scene(WORLD, index, folder).name},{split}")
    write_labels(WORLD, folder)
    (folder / "collection.csv").write_text("\n".join(rows) + "\n")


def run(
    folder: Path,
    root: str,
    victim: str | None = None,
    after_s: float = 0.0,
    proxy: Proxy | None = None,
    outage_at_s: float | None = None,
) -> Outcome:
    """Give the command on a fresh cluster, with at most one kill and one outage, and wait for its end.

    Raises:
        TimeoutError: it hangs.
    """
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    command = [sys.executable, "-m", "jobs.cli", "run", "-q", "--workers", "2", "--preset", "tiny"]
    command += ["--collection", f"{folder}/world/collection.csv", "--labels", f"{folder}/world/labels.csv"]
    command += ["--root", root, "--address", cluster.address]
    command += [option for setting in SETTINGS for option in ("--set", setting)]
    began, killed_at_s = time.monotonic(), None
    try:
        with tempfile.TemporaryFile() as stderr:
            driver = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=stderr)
            while driver.poll() is None:
                elapsed_s = time.monotonic() - began
                if proxy is not None and outage_at_s is not None and elapsed_s > outage_at_s:
                    proxy.begin("refused")
                    threading.Timer(OUTAGE_S, proxy.begin, [""]).start()
                    outage_at_s = None
                if victim and killed_at_s is None and elapsed_s > after_s and kill(victim, driver.pid, cluster, nodes):
                    killed_at_s = elapsed_s
                if killed_at_s is not None and len(nodes) < 2 and elapsed_s > killed_at_s + REPLACED_AFTER_S:
                    nodes.append(cluster.add_node(num_cpus=1, wait=False))
                if elapsed_s > LIMIT_S:
                    driver.kill()
                    raise TimeoutError(f"{victim}: the command still runs after {LIMIT_S:.0f} s.")
                time.sleep(0.05)
            stderr.seek(0)
            text = stderr.read().decode(errors="replace")
            return Outcome(driver.returncode, time.monotonic() - began, killed_at_s, text)
    finally:
        if proxy is not None:
            proxy.begin("")
        cluster.shutdown()


def kill(victim: str, driver: int, cluster: Cluster, nodes: list[Any]) -> bool:
    """Kill a victim, if there is one now."""
    if victim == "node":
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        return True
    if victim == "head":
        for info in (info for infos in cluster.head_node.all_processes.values() for info in infos):
            with contextlib.suppress(ProcessLookupError):
                os.kill(info.process.pid, signal.SIGKILL)
        return True
    found = [driver] if victim == "driver" else find(os.getpid(), victim)
    if found:
        os.kill(found[0], signal.SIGKILL)
    return bool(found)


def content(root: str) -> str:
    """sha256 over the names and bytes of all data files, and over the names and numbers of all models."""
    total = hashlib.sha256()
    for name in DATA:
        for entry in files.list_files(files.join(root, name)):
            data = files.read_bytes(entry.uri)
            total.update(f"{files.relative(entry.uri, root)} {len(data)}\n".encode() + data)
    for name in MODELS:
        weights = torch.load(
            io.BytesIO(files.read_bytes(files.join(root, "models", name, "model.pt"))), weights_only=True
        )
        for path, value in sorted(flatten(weights)):
            total.update(f"{name} {path}\n".encode() + value)
    return total.hexdigest()


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, bytes]]:
    """Every number below a value of dicts and lists, by its path."""
    if isinstance(value, dict | list | tuple):
        for name, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flatten(below, f"{path}/{name}")
    else:
        yield path, value.numpy().tobytes() if isinstance(value, torch.Tensor) else repr(value).encode()


if __name__ == "__main__":
    sys.exit(main())
