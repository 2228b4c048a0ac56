"""Ranges of objects by plain HTTP, at signed URLs: a quarter of the CPU time of a boto3 call.

Training reads one range per clip, and one process runs Python on one CPU however many it has: at boto3's 2 to 4 ms per
call it would read fewer than 500 clips per second (2026-11). What is no whole answer at once is left to boto3, which
repeats requests, follows redirects and says what is wrong.
"""

import functools
import os
import time
import urllib.request
from http import HTTPStatus
from typing import Any

import urllib3

CONNECTIONS = 128  # kept open in each process
TIMEOUT = urllib3.Timeout(connect=5, read=20)
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
    try:
        answer = _connections(scheme, host, os.getpid()).urlopen(
            "GET",
            f"/{path}",
            headers={"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"},
            retries=False,
            redirect=False,
            preload_content=False,
        )
        if answer.status == HTTPStatus.PARTIAL_CONTENT:
            data = answer.read()
            answer.release_conn()
            if len(data) == length:
                return data
        answer.close()
    except urllib3.exceptions.HTTPError:
        pass
    _paused_until[host] = time.monotonic() + PAUSE_S
    return None


@functools.lru_cache(maxsize=4096)
def _signed_url(s3: Any, bucket: str, key: str, _slot: int) -> str:
    url: str = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key}, VALID_S)
    return url


@functools.cache
def _connections(scheme: str, host: str, _process: int) -> urllib3.HTTPConnectionPool:
    tls = {"ca_certs": os.environ.get("AWS_CA_BUNDLE")} if scheme == "https" else {}  # None: the system's
    pool = urllib3.connection_from_url(f"{scheme}://{host}", maxsize=CONNECTIONS, timeout=TIMEOUT, **tls)
    assert isinstance(pool, urllib3.HTTPConnectionPool)
    return pool


@functools.cache
def _has_proxy(scheme: str, host: str) -> bool:
    return scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)
