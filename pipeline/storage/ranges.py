"""Ranges of objects by plain HTTP, at signed URLs: a tenth of the CPU time of a boto3 call.

Training reads one range per clip, and one process runs Python on one CPU however many it has: at boto3's 2 to 4 ms per
call it would read fewer than 500 clips per second (2026-11). What is no whole answer at once is left to boto3, which
repeats requests, follows redirects and says what is wrong.
"""

import functools
import os
import socket
import ssl
import time
import urllib.parse
import urllib.request
from http import HTTPStatus
from typing import Any

import httptools

HEAD_BYTES = 4096  # room for the head of an answer in the first piece that is received
MAX_HEAD_BYTES = 65_536  # an answer that is longer than its range by more is given up
TIMEOUT_S = 20  # of each wait for the store
VALID_S, RENEW_S = 3600, 300  # of a signed URL: credentials that expire are good for 10 minutes when they sign
PAUSE_S = 60.0  # in which a host is left to boto3 after a request that failed
_paused_until: dict[str, float] = {}


def read(s3: Any, place: dict[str, str], offset: int, length: int) -> bytes | None:
    """`length` bytes from `offset` on; None if they do not come at once, all of them, or a proxy is to be used.

    Args:
        s3: the boto3 client that signs.
        place: Bucket and Key of the object.
    """
    url = _signed_url(s3, place["Bucket"], place["Key"], int(time.monotonic() / RENEW_S))
    scheme, _, address = url.partition("://")
    host, _, path = address.partition("/")
    if time.monotonic() < _paused_until.get(host, 0.0) or _has_proxy(scheme, host):
        return None
    idle = _idle_connections(host, os.getpid())
    request = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes={offset}-{offset + length - 1}\r\n\r\n"
    while True:
        is_kept = bool(idle)
        try:
            connection = idle.pop()
        except IndexError:  # none, or other threads have taken them
            connection, is_kept = None, False
        try:
            connection = connection or _connect(scheme, host)
            connection.sendall(request.encode())
            answer = _Answer(connection, offset, length)
        except (OSError, UnicodeError, httptools.HttpParserError) as error:  # UnicodeError: no name of a host
            if connection is not None:
                connection.close()
            if is_kept and isinstance(error, ConnectionError):
                continue  # the store had closed it while it was idle
            break
        if answer.is_reusable:
            idle.append(connection)
        else:
            connection.close()
        if answer.data is None:
            break
        return answer.data
    _paused_until[host] = time.monotonic() + PAUSE_S
    return None


@functools.lru_cache(maxsize=4096)
def _signed_url(s3: Any, bucket: str, key: str, _slot: int) -> str:
    url: str = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key}, VALID_S)
    return url


class _Answer:
    """An answer as httptools calls it out: http.client spends thrice the CPU time on its head (2026-11).

    Attributes:
        data: what was asked for, all of it and nothing else; None for any other answer.
        is_reusable: whether the connection is free for another request.

    Raises:
        ConnectionError: the connection was closed before the answer had begun.
        OSError: it broke, or TIMEOUT_S passed without a byte.
        httptools.HttpParserError: this is no HTTP.
    """

    def __init__(self, connection: socket.socket, offset: int, length: int) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._is_complete = self._keeps_alive = self._is_asked_range = False
        self._asked = f"bytes {offset}-{offset + length - 1}/".encode()
        num_received = 0
        while not self._is_complete and num_received < length + MAX_HEAD_BYTES:
            received = connection.recv(length + HEAD_BYTES)
            if not received:
                if not num_received:
                    raise ConnectionResetError
                break
            num_received += len(received)
            self._parser.feed_data(received)
        is_range = self._is_asked_range and self._parser.get_status_code() == HTTPStatus.PARTIAL_CONTENT
        is_whole = self._is_complete and is_range and sum(map(len, self._pieces)) == length
        self.data = b"".join(self._pieces) if is_whole else None
        self.is_reusable = is_whole and self._keeps_alive
        del self._parser  # it holds this answer: a cycle, and so the bytes, until the collector comes by

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-range":
            self._is_asked_range = value.startswith(self._asked)

    def on_headers_complete(self) -> None:
        self._keeps_alive = self._parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        self._is_complete = True


@functools.cache
def _idle_connections(_host: str, _process: int) -> list[socket.socket]:
    """Connections to a host that no thread uses at the moment: as many as have been used at once."""
    return []


def _connect(scheme: str, host: str) -> socket.socket:
    """A connection to HOST or HOST:PORT.

    Raises:
        OSError: nobody answers, or its certificate is not good.
        UnicodeError: no host can have that name.
    """
    parts = urllib.parse.urlsplit(f"{scheme}://{host}")
    address = parts.hostname or "", parts.port or {"http": 80, "https": 443}[scheme]
    context = _tls() if scheme == "https" else None
    connection = socket.create_connection(address, TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection if context is None else context.wrap_socket(connection, server_hostname=address[0])


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))  # None: the system's


@functools.cache
def _has_proxy(scheme: str, host: str) -> bool:
    return scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)
