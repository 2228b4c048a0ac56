"""Ranges of objects by plain HTTP, at signed URLs: a fifth of the CPU time of a boto3 call.

Training reads one range per clip, and one process runs Python on one CPU however many it has: at boto3's 2 to 4 ms per
call it would read fewer than 500 clips per second (2026-11). What is no whole answer at once is left to boto3, which
repeats requests, follows redirects and says what is wrong.
"""

import functools
import http.client
import os
import ssl
import time
import urllib.request
from http import HTTPStatus
from typing import Any

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
    while True:
        is_kept = bool(idle)
        try:
            connection = idle.pop()
        except IndexError:  # none, or other threads have taken them
            connection, is_kept = _connect(scheme, host), False
        try:
            connection.request("GET", f"/{path}", headers={"Range": f"bytes={offset}-{offset + length - 1}"})
            answer = connection.getresponse()
            data = answer.read() if answer.status == HTTPStatus.PARTIAL_CONTENT else b""
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if is_kept and isinstance(error, ConnectionError):
                continue  # the store had closed it while it was idle
            break
        if len(data) == length:
            idle.append(connection)
            return data
        connection.close()
        break
    _paused_until[host] = time.monotonic() + PAUSE_S
    return None


@functools.lru_cache(maxsize=4096)
def _signed_url(s3: Any, bucket: str, key: str, _slot: int) -> str:
    url: str = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key}, VALID_S)
    return url


@functools.cache
def _idle_connections(_host: str, _process: int) -> list[http.client.HTTPConnection]:
    """Connections to a host that no thread uses at the moment: as many as have been used at once."""
    return []


def _connect(scheme: str, host: str) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, timeout=TIMEOUT_S, context=_tls())
    return http.client.HTTPConnection(host, timeout=TIMEOUT_S)


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))  # None: the system's


@functools.cache
def _has_proxy(scheme: str, host: str) -> bool:
    return scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)
