"""Bytes of a collection cut through an outage of its S3 store, over those of an undisturbed run, by kind of outage.

Usage: python -m benchmarks.outages [--seconds 20] [--kinds refused reset silent 503]

Short videos lie in a bucket of a server on loopback, and so does the root; `earshot shard` reaches both by a proxy.
Once a part is finished the proxy has an outage of so many seconds: no port that listens, connections that are cut off,
connections that nobody answers, or 503 to every request. Compared is the sha256 over all files of the root's results.
"""

import argparse
import contextlib
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

from pipeline.storage import files
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from tests.helpers.kills import content, make_videos, shard

KINDS = ("refused", "reset", "silent", "503")
ANSWER_503 = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
NUM_VIDEOS = 12


class Proxy:
    """Passes connections on to a port of this machine, or has the outage that `kind` names."""

    def __init__(self, target: int) -> None:
        self.kind, self._target = "", target
        self._listener: socket.socket | None = self._listen(0)
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def begin(self, kind: str) -> None:
        """Cut off what is open, and answer as the kind says from here on; "" ends an outage."""
        self.kind = kind
        while self._open:
            with contextlib.suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        listener.settimeout(0.1)
        return listener

    def _serve(self) -> None:
        while True:
            if self.kind == "refused":
                if self._listener is not None:
                    self._listener.close()
                    self._listener = None
                time.sleep(0.1)
                continue
            self._listener = self._listener or self._listen(self.port)
            with contextlib.suppress(TimeoutError):
                client = self._listener.accept()[0]
                client.settimeout(None)
                self._open.append(client)
                threading.Thread(target=self._attend, args=(client, self.kind), daemon=True).start()

    def _attend(self, client: socket.socket, kind: str) -> None:
        with client, contextlib.suppress(OSError):
            if kind == "silent":
                while client.recv(2**16):
                    pass
            elif kind == "503":
                client.recv(2**16)
                client.sendall(ANSWER_503)
            elif not kind:
                with socket.create_connection(("127.0.0.1", self._target)) as server:
                    threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()
                    _pass_on(client, server)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(2**16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def store() -> Iterator[Proxy]:
    """An S3 server on loopback with a bucket, and a proxy before it; this process reaches it without the proxy."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    boto3.client("s3").create_bucket(Bucket="outages")
    try:
        yield Proxy(port)
    finally:
        server.stop()


def cut(proxy: Proxy, root: str, kind: str, seconds: float) -> tuple[int, float, str]:
    """Exit code, seconds and stderr of the command that cuts; an outage of that kind comes after its first part."""
    environment = os.environ | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}
    began, command = time.monotonic(), shard("s3://outages/videos", root)
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
    with store() as proxy, tempfile.TemporaryDirectory() as folder:
        make_videos(Path(folder) / "videos", NUM_VIDEOS)
        for path in sorted((Path(folder) / "videos").iterdir()):
            files.commit_bytes(f"s3://outages/videos/{path.name}", path.read_bytes())
        exit_code, took_s, stderr = cut(proxy, "s3://outages/undisturbed", "", 0)
        if exit_code:
            print(stderr)
            return 1
        expected = content("s3://outages/undisturbed")
        print(f"undisturbed: {took_s:.0f} s, sha256 {expected[:16]}", flush=True)
        num_equal = 0
        for kind in options.kinds:
            root = f"s3://outages/{kind}"
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
