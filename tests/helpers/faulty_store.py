"""One S3 bucket on loopback that answers the next requests as a test says, and then as it should."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


class Store(ThreadingHTTPServer):
    """A fault is a status and a code, such as `503 SlowDown`, or one of these: `break` (half of the body comes),
    `no answer` (the request is done, and the connection closed), `silence` (until `is_over` is set)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), StoreHandler)
        self.objects: dict[str, bytes] = {}
        self.faults: list[str | None] = []
        self.seen: list[tuple[str, dict[str, str]]] = []  # method, headers
        self.is_over = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client hung up; it is meant to."""


class StoreHandler(BaseHTTPRequestHandler):
    server: Store
    protocol_version = "HTTP/1.1"  # in which who uploads waits for a word before it sends the body

    def do_GET(self) -> None:
        fault = self.fault()
        if "list-type=2" in self.path:
            if fault is None:
                self.list_objects()
            return
        data = self.server.objects[self.path]
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        if self.headers.get("If-Match", etag) != etag:
            self.answer(412)
        elif fault is None or fault == "break":
            first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            part = data[int(first) : int(last) + 1 if last else None]
            self.answer(206, {"ETag": etag}, part, len(part) // 2 if fault else len(part))

    def list_objects(self) -> None:
        assert "encoding-type=url" in self.path  # XML has no way to write some characters
        keys = [path.removeprefix("/bucket/") for path in self.server.objects]
        contents = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
        body = f"<ListBucketResult><EncodingType>url</EncodingType>{contents}</ListBucketResult>"
        self.answer(200, {"Content-Type": "application/xml"}, body.encode())

    def do_PUT(self) -> None:
        fault = self.fault()
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if "If-None-Match" in self.headers and self.path in self.server.objects:
            self.answer(412)
        elif fault is None or fault == "no answer":
            self.server.objects[self.path] = data
            if fault is None:
                self.answer(200)

    def do_DELETE(self) -> None:
        if self.fault() is None:
            del self.server.objects[self.path]
            self.answer(204)

    def do_HEAD(self) -> None:
        if self.fault() is None:
            self.answer(200 if self.path in self.server.objects else 404)

    def fault(self) -> str | None:
        self.close_connection = True
        self.server.seen.append((self.command, dict(self.headers)))
        fault = self.server.faults.pop(0) if self.server.faults else None
        if fault == "silence":
            self.server.is_over.wait(30)
        if fault is not None and fault[0].isdigit():
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, _, code = fault.partition(" ")
            self.answer(int(status), data=f"<Error><Code>{code}</Code></Error>".encode() if code else b"")
        return fault

    def answer(
        self, status: int, headers: dict[str, str] | None = None, data: bytes = b"", sent: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data[:sent])

    def log_message(self, format: str, *args: Any) -> None:
        """Tests print nothing."""


def without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the environment and its files name no credentials."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
