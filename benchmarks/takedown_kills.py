"""Takedowns with a SIGKILL at a random moment, and what the same command makes of them, beside an undisturbed one.

    python -m benchmarks.takedown_kills [--kills 12] [--s3]

A small rendered world goes through `earshot run`, and gets shards, a data card, masks, features, imported columns and
near-duplicates beside. Each copy of that root has four videos taken down: SIGKILL at a random moment, then the same
command again. Compared with an undisturbed takedown are all files but tombstones and locks; all bytes are scanned by
code that is not the project's; then `earshot shard` runs, which must have nothing to do. At the end `earshot run`
makes figures and report anew, and all bytes are scanned again. With --s3 the roots are in an object store on loopback.
"""

import argparse
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.storage import files, s3_clients
from pipeline.storage.layout import COLLECTION_FOLDER, TOMBSTONES
from pipeline.storage.workspace import Workspace
from schemas.videos import COLLECTION
from tests.helpers.kills import PROJECT
from tests.helpers.takedown_roots import add_kinds, all_files, left_of, media_of

NUM_VIDEOS = 24
SETTINGS = (
    "clips.base.clip_s=2", "clips.base.frame_height=32", "clips.base.frame_width=32", "collecting.videos_per_part=6",
    "coincidence.training.num_steps=4", "coincidence.training.batch_size=4", "coincidence.training.validate_every=2",
    "coincidence.matching.num_steps=5", "coincidence.matching.num_batches=2", "separation.training.num_steps=2",
    "separation.training.batch_size=2", "separation.training.validate_every=1", "separation.mixtures.crop_frames=1",
    "separation.audio_training.num_steps=2", "separation.audio_training.batch_size=2",
    "separation.audio_training.validate_every=1", "separation.calibration.num_examples=4",
    "mixing.max_clips_per_video=2", "splitting.test_fraction=0.3", "splitting.validate_fraction=0.2",
    "filtering.min_score=0",
)  # fmt: skip
NOT_COMPARED = ("tombstones/", ".locks/", "logs/")  # they have times


def earshot(
    *arguments: str, root: str = "", is_killed_after_s: float | None = None
) -> subprocess.CompletedProcess[str]:
    """One command to its end, or to its death so long after the first tombstone appeared in a root."""
    command = [sys.executable, "-m", "jobs.cli", "-q", *arguments]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if is_killed_after_s is not None:
        while process.poll() is None and not any(True for _ in files.list_files(files.join(root, TOMBSTONES))):
            time.sleep(0.01)
        time.sleep(is_killed_after_s)
        process.send_signal(signal.SIGKILL)
    out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def must(result: subprocess.CompletedProcess[str]) -> str:
    """What a command printed, if it ended well."""
    if result.returncode:
        raise RuntimeError(f"{' '.join(result.args[3:])}: exit {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result.stdout


@contextlib.contextmanager
def bucket() -> Iterator[str]:
    """s3://bucket of an object store on loopback, in this process' memory."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    os.environ |= {"AWS_DEFAULT_REGION": "us-east-1"}
    s3_clients.make_client.cache_clear()
    boto3.client("s3").create_bucket(Bucket="earshot")
    yield "s3://earshot"
    server.stop()


def copy(source: str, target: str) -> None:
    """A root at another place; locks are left."""
    if not target.startswith("s3://"):
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".locks"))
        return
    for path, data in all_files(source).items():
        if not path.startswith(".locks"):
            files.commit_bytes(files.join(target, path), data)


def comparable(root: str) -> dict[str, bytes]:
    return {path: data for path, data in all_files(root).items() if not path.startswith(NOT_COMPARED)}


def make_root(world: Path, root: str) -> tuple[str, ...]:
    """A rendered world, and a workspace with all that is made of it; return the command that does it again."""
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    must(earshot("world", "--out", str(world), "--num-videos", str(NUM_VIDEOS)))
    run = ("run", "--collection", str(world / "videos"), "--labels", str(world / "labels.csv"))
    must(earshot(*run, "--root", root, *settings))
    must(earshot("materialize", "--root", root, "--set", "materializing.clips_per_shard=6"))
    must(earshot("card", "--root", root, "--creator", "Someone", "--energon"))
    add_kinds(Workspace(root))
    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--root", help="of a finished workspace to copy, instead of one that is made")
    parser.add_argument("--collection", help="of that workspace")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="earshot-kills-") as folder, contextlib.ExitStack() as stack:
        base = stack.enter_context(bucket()) if options.s3 else folder
        made, collection, run = options.root or f"{folder}/made", options.collection, None
        if options.root is None:
            run = make_root(Path(folder) / "world", made)
            collection = run[2]
        listed = Workspace(made).read_all(COLLECTION_FOLDER, COLLECTION, ["video_id", "uri"]).to_pylist()
        chosen = [listed[place] for place in (0, len(listed) // 3, len(listed) // 2, len(listed) - 1)]
        words = [row[name] for row in chosen for name in ("video_id", "uri")]
        media = media_of(all_files(made), {row["video_id"] for row in chosen})
        asked = Path(folder) / "asked.txt"
        asked.write_text("".join(f"{row['video_id']}\n" for row in chosen))
        print(f"{len(left_of(all_files(made), words, media))} of {len(all_files(made))} files have some of them")

        def take_down(root: str, after_s: float | None = None) -> subprocess.CompletedProcess[str]:
            asks = ("--videos", str(asked), "--reason", "a benchmark", "--every-byte")
            return earshot("takedown", "--root", root, *asks, root=root, is_killed_after_s=after_s)

        whole = files.join(base, "whole")
        copy(made, whole)
        began = time.monotonic()
        print(must(take_down(whole)), end="")
        took_s, expected = time.monotonic() - began, comparable(whole)
        num_left, num_equal, num_killed = len(left_of(all_files(whole), words, media)), 0, 0
        print(f"undisturbed: {took_s:.1f} s, {num_left} files with some of them", flush=True)
        random, attempt = np.random.default_rng(options.seed), 0
        while num_killed < options.kills:
            root, after_s, attempt = files.join(base, f"killed_{attempt}"), random.uniform(0, 0.5) * took_s, attempt + 1
            copy(made, root)
            killed = take_down(root, after_s)
            has_begun = any(path.startswith("tombstones/") for path in all_files(root))
            if killed.returncode != -signal.SIGKILL or not has_begun:  # it came after the end, or before the beginning
                continue
            num_killed += 1
            tried = len(left_of(all_files(root), words, media))
            must(take_down(root))
            left = left_of(all_files(root), words, media)
            is_equal = comparable(root) == expected
            news = must(earshot("shard", "--collection", collection, "--root", root)).strip().splitlines()[-1]
            left += left_of(all_files(root), words, media)
            num_equal += is_equal and not left and "nothing to do" in news
            print(
                f"killed after {after_s:.1f} s with {tried} files to go: then {len(left)} left, "
                f"{'same bytes' if is_equal else 'OTHER BYTES'}; {news.partition(';')[0]}", flush=True,
            )  # fmt: skip
        if run is not None:
            must(earshot(*run, "--root", root))
        left = left_of(all_files(root), words, media)
        print(f"run afterwards: {len(left)} files with some of them {left[:3]}")
        print(f"{num_equal} of {options.kills} ended as the undisturbed one, with nothing left, and stayed so")
        return int(num_equal < options.kills or bool(left) or num_left > 0)


if __name__ == "__main__":
    sys.exit(main())
