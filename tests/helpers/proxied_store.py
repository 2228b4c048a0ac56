"""An S3 server on loopback, kept in memory, behind a proxy that can have an outage of several kinds."""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator

import boto3
from moto.server import ThreadedMotoServer

KINDS = ("refused", "reset", "silent", "503")
ANSWER_503 = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BUCKET = "s3://outages"


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
def proxied_store() -> Iterator[Proxy]:
    """An S3 server on loopback with a bucket, and a proxy before it; this process reaches it without the proxy."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    boto3.client("s3").create_bucket(Bucket=BUCKET.removeprefix("s3://"))
    try:
        yield Proxy(port)
    finally:
        server.stop()
