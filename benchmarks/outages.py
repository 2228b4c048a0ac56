"""Bytes of a collection cut through an outage of its S3 store, over those of an undisturbed run, by kind of outage.

Usage: python -m benchmarks.outages [--seconds 20] [--kinds refused reset silent 503]

Short videos lie in a bucket of a server on loopback, and so does the root; `earshot shard` reaches both by a proxy.
Once a part is finished the proxy has an outage of so many seconds: no port that listens, connections that are cut off,
connections that nobody answers, or 503 to every request. Compared is the sha256 over all files of the root's results.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from pipeline.storage import files
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from tests.helpers.kills import content, make_videos, shard
from tests.helpers.proxied_store import BUCKET, KINDS, Proxy, proxied_store

NUM_VIDEOS = 12


def cut(proxy: Proxy, root: str, kind: str, seconds: float) -> tuple[int, float, str]:
    """Exit code, seconds and stderr of the command that cuts; an outage of that kind comes after its first part."""
    environment = os.environ | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}
    began, command = time.monotonic(), shard(f"{BUCKET}/videos", root)
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as run:
        while kind and run.poll() is None and not Workspace(root).parts(VIDEOS_FOLDER):
            time.sleep(0.5)
        proxy.begin(kind)
        timer = threading.Timer(seconds, proxy.begin, [""])
        timer.start()
        _, stderr = run.communicate()
        timer.cancel()
        proxy.begin("")
    return run.returncode, time.monotonic() - began, stderr


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    options = parser.parse_args()
    with proxied_store() as proxy, tempfile.TemporaryDirectory() as folder:
        make_videos(Path(folder) / "videos", NUM_VIDEOS)
        for path in sorted((Path(folder) / "videos").iterdir()):
            files.commit_bytes(f"{BUCKET}/videos/{path.name}", path.read_bytes())
        exit_code, took_s, stderr = cut(proxy, f"{BUCKET}/undisturbed", "", 0)
        if exit_code:
            print(stderr)
            return 1
        expected = content(f"{BUCKET}/undisturbed")
        print(f"undisturbed: {took_s:.0f} s, sha256 {expected[:16]}", flush=True)
        num_equal = 0
        for kind in options.kinds:
            root = f"{BUCKET}/{kind}"
            exit_code, took_s, stderr = cut(proxy, root, kind, options.seconds)
            is_equal = exit_code == 0 and content(root) == expected
            num_equal += is_equal
            said = [line for line in stderr.splitlines() if line.startswith("s3://")]
            print(f"{kind}: exit {exit_code} after {took_s:.0f} s, {'same bytes' if is_equal else 'DIFFERENT'}; {said}")
            if not is_equal:
                print(stderr[-2000:], flush=True)
    print(
        f"{num_equal} of {len(options.kinds)} outages of {options.seconds:.0f} s gave the bytes of the undisturbed run"
    )
    return int(num_equal < len(options.kinds))


if __name__ == "__main__":
    sys.exit(main())
