"""Ranges of objects by plain HTTP, at signed URLs: a tenth of the CPU time of a boto3 call.

Training reads one range per clip, and one process runs Python on one CPU however many it has: at boto3's 2 to 4 ms per
call it would read fewer than 500 clips per second (2026-11). What is no whole answer at once is left to boto3, which
repeats requests, follows redirects and says what is wrong. So little of HTTP is needed that it is written here:
http.client, which reads headers as those of a mail and content through a buffer, takes twice the CPU time.
"""

import functools
import os
import socket
import ssl
import time
import urllib.parse
import urllib.request
from typing import Any

TIMEOUT_S = 20  # of each wait for the store
VALID_S, RENEW_S = 3600, 300  # of a signed URL: credentials that expire are good for 10 minutes when they sign
HEAD_BYTES = 1 << 16  # of an answer; S3 sends less than one
DEFAULT_PORTS = {"http": 80, "https": 443}
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
    while True:
        is_kept = bool(idle)
        try:
            connection = idle.pop() if is_kept else _Connection(scheme, host)
        except IndexError:  # other threads have taken them
            continue
        except OSError:
            break
        try:
            data = connection.get(f"/{path}", offset, length)
        except OSError as error:
            connection.close()
            if is_kept and isinstance(error, ConnectionError):
                continue  # the store had closed it while it was idle
            break
        if data is not None and connection.is_kept:
            idle.append(connection)
        else:
            connection.close()
        if data is not None:
            return data
        break
    _paused_until[host] = time.monotonic() + PAUSE_S
    return None


@functools.lru_cache(maxsize=4096)
def _signed_url(s3: Any, bucket: str, key: str, _slot: int) -> str:
    url: str = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key}, VALID_S)
    return url


@functools.cache
def _idle_connections(_host: str, _process: int) -> "list[_Connection]":
    """Connections to a host that no thread uses at the moment: as many as have been used at once."""
    return []


class _Connection:
    """A connection to a host, for one request after the other.

    Args:
        scheme: http or https.
        host: as in the URL, with the port where it has one.
    """

    def __init__(self, scheme: str, host: str) -> None:
        place, default = urllib.parse.urlsplit(f"//{host}"), DEFAULT_PORTS[scheme]
        self._host = host.removesuffix(f":{default}")  # as it is signed
        sock = socket.create_connection((place.hostname, place.port or default), TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = _tls().wrap_socket(sock, server_hostname=place.hostname) if scheme == "https" else sock
        self.is_kept = True
        """Whether the store takes a further request on it."""

    def get(self, path: str, offset: int, length: int) -> bytes | None:
        """`length` bytes from `offset` on; None if the answer is anything else.

        Raises:
            OSError: the store does not answer, or breaks off.
        """
        asked = f"Range: bytes={offset}-{offset + length - 1}"
        request = f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept-Encoding: identity\r\n{asked}\r\n\r\n"
        self.socket.sendall(request.encode("ascii"))
        head = b""
        while (end := head.find(b"\r\n\r\n")) < 0:
            if len(head) > HEAD_BYTES:
                return None
            head += self._receive()
        self.is_kept = b"connection: close" not in (lines := head[:end].lower().split(b"\r\n"))
        if not lines[0].startswith(b"http/1.1 206") or not _has_length(lines, length):
            return None
        data = bytearray(length)
        num_read = min(len(head) - end - 4, length)
        data[:num_read] = head[end + 4 : end + 4 + length]
        with memoryview(data) as view:
            while num_read < length:
                if not (more := self.socket.recv_into(view[num_read:])):
                    raise OSError("the answer breaks off")
                num_read += more
        return bytes(data)

    def _receive(self) -> bytes:
        if not (data := self.socket.recv(1 << 12)):
            raise ConnectionAbortedError("no answer")
        return data

    def close(self) -> None:
        """End it."""
        self.socket.close()


def _has_length(lines: list[bytes], length: int) -> bool:
    """Whether an answer's head says that exactly so many bytes follow."""
    lengths = [line.partition(b":")[2].strip() for line in lines if line.startswith(b"content-length:")]
    return lengths == [b"%d" % length] and not any(line.startswith(b"transfer-encoding:") for line in lines)


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))  # None: the system's


@functools.cache
def _has_proxy(scheme: str, host: str) -> bool:
    return scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)
