"""What a part costs to schedule, over the number of parts: wall and CPU time of the driver, its memory, the listing.

Usage: python -m benchmarks.scheduling [--sizes 100 1000 10000 100000] [--latency-ms 30]

Parts do nothing, and each is a Ray task of its own; each size gets a new process, in which Ray and its workers start
before the clock. Pending parts are listed in a bucket on loopback where every second one is finished: the
server has its pages ready, so that the time is the client's, and the latency that is asked for is added to each page.
"""

import argparse
import bisect
import os
import resource
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from cluster.connect import connect
from cluster.mapping import map_parts
from cluster.resources import WorkerResources
from pipeline.storage.workspace import Workspace

PAGE = 1000  # keys, as S3 gives them
LIMIT_MS, LIST_LIMIT_S = 5.0, 10.0
NEEDS = WorkerResources(num_cpus=1, memory_bytes=2**26)


class Bucket(ThreadingHTTPServer):
    """Answers listings of keys that it holds, in pages; one request at a time is asked of it."""

    def __init__(self, keys: list[str], latency_s: float) -> None:
        super().__init__(("127.0.0.1", 0), Listing)
        self.keys, self.latency_s, self.num_requests = sorted(keys), latency_s, 0


class Listing(BaseHTTPRequestHandler):
    """ListObjectsV2, with the last key of a page as the token of the next."""

    server: Bucket
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.num_requests += 1
        time.sleep(self.server.latency_s)
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        prefix, keys = asked.get("prefix", ""), self.server.keys
        first = bisect.bisect_right(keys, asked.get("continuation-token", "")) if "continuation-token" in asked else 0
        first = max(first, bisect.bisect_left(keys, prefix))
        end = bisect.bisect_left(keys, prefix + "\U0010ffff")
        page = keys[first : min(first + PAGE, end)]
        items = "".join(
            f'<Contents><Key>{key}</Key><Size>999</Size><ETag>"{"0" * 32}"</ETag></Contents>' for key in page
        )
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{page[-1]}</NextContinuationToken>"
        more = more if first + PAGE < end else "<IsTruncated>false</IsTruncated>"
        body = f"<ListBucketResult><EncodingType>url</EncodingType>{more}{items}</ListBucketResult>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A benchmark prints its figures alone."""


def schedule(num_parts: int) -> None:
    """Print what so many parts take in this process."""
    connect(num_cpus=2)
    list(map_parts(str.upper, [f"{index:07d}" for index in range(20)], NEEDS))
    before_mb, cpu_s, began = peak_mb(), time.process_time(), time.monotonic()
    parts = [f"{index:07d}" for index in range(num_parts)]
    done = sum(1 for _ in map_parts(str.upper, parts, NEEDS))
    wall_ms, cpu_ms = (
        (now - then) * 1000 / done for now, then in ((time.monotonic(), began), (time.process_time(), cpu_s))
    )
    verdict = "" if wall_ms < LIMIT_MS else f" ABOVE {LIMIT_MS} ms"
    print(
        f"{done} parts: {wall_ms:.2f} ms each, {cpu_ms:.2f} of them CPU time of the driver{verdict}; driver's peak "
        f"{peak_mb():.0f} MB, {peak_mb() - before_mb:.0f} more than before",
        flush=True,
    )


def list_pending(num_parts: int, latency_s: float) -> None:
    """Print what it takes to find the pending half of so many parts."""
    workspace = Workspace("s3://bucket/root")
    uris = [workspace.part_uri("collection", f"{index:07d}") for index in range(num_parts)]
    uris += [workspace.part_uri("videos/base", f"{index:07d}") for index in range(0, num_parts, 2)]
    server = Bucket([uri.removeprefix("s3://bucket/") for uri in uris], latency_s)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    cpu_s, began = time.thread_time(), time.monotonic()
    pending = workspace.pending("collection", "videos/base")
    wall_s, cpu_s = time.monotonic() - began, time.thread_time() - cpu_s
    assert len(pending) == num_parts // 2
    verdict = "" if wall_s < LIST_LIMIT_S else f" ABOVE {LIST_LIMIT_S:.0f} s"
    print(
        f"{num_parts} parts on S3, {1000 * latency_s:.0f} ms a request: pending listed in {wall_s:.1f} s{verdict}, "
        f"{server.num_requests} requests, {cpu_s:.1f} s of the client's CPU time",
        flush=True,
    )
    server.shutdown()


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000, 100_000])
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--only", type=int, help="schedule so many parts in this process")
    options = parser.parse_args()
    if options.only:
        schedule(options.only)
        return
    list_pending(max(options.sizes), options.latency_ms / 1000)
    for size in options.sizes:
        subprocess.run([sys.executable, "-m", "benchmarks.scheduling", "--only", str(size)], check=True)


if __name__ == "__main__":
    main()
