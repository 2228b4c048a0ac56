"""boto3 clients, one per kind and process, as the environment configures them.

boto3 honours the standard AWS settings, `AWS_ENDPOINT_URL` included. Where no credentials are configured, requests are
unsigned, but not on a node of a command that signs (SIGNED): there a 403 would read as an absent object. Requests to
PUBLIC_BUCKETS are unsigned too, and go to AWS itself or to the mirror that EARSHOT_PUBLIC_ENDPOINT_URL names.
"""

import datetime
import functools
import os
import threading
from typing import Any

import botocore.session
import botocore.utils
from botocore import UNSIGNED

from pipeline.errors import ConfigError, UnreadError
from pipeline.storage.s3_answers import pause_on_outages

PUBLIC_BUCKETS = {"multimedia-commons": "us-west-2"}  # bucket -> region: open to anybody, the media of YFCC100M
SIGNED = "EARSHOT_S3_SIGNED"  # set on the nodes of a command that has credentials
CONNECT_S = 10.0  # boto's 60 s would make an outage's first line on stderr late
_HAS_SIGNED = threading.Event()
MAKING_CLIENTS = threading.Lock()  # else 40 threads that begin to read make a client each, at 0.4 s of CPU


def client(bucket: str) -> Any:
    """The boto3 client for a bucket: one per kind and process; clients are safe to share between threads."""
    with MAKING_CLIENTS:
        return make_client(PUBLIC_BUCKETS.get(bucket), os.getpid())


def parse_time(value: Any) -> datetime.datetime:
    """A time in an answer. boto's own parser takes two thirds of the CPU time of a listing (2026-11).

    This one gives the same of such texts as 2026-11-30T00:00:00.000Z, and leaves others to boto.
    """
    if isinstance(value, str) and value.endswith("Z"):
        return datetime.datetime.fromisoformat(value)
    return botocore.utils.parse_timestamp(value)


@functools.cache
def make_client(public_region: str | None, _process: int) -> Any:
    """A boto3 client as the environment configures it; that of a public bucket if its region is given.

    Raises:
        UnreadError: the command that started this worker has credentials and this machine has none, for now at least:
            a metadata service may answer the next time.
    """
    import boto3  # 0.4 s that a command on a local root is spared (2026-11)
    from botocore.config import Config

    core = botocore.session.get_session()  # its own: boto3's default one is not safe to share between threads
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parse_time)
    session = boto3.session.Session(botocore_session=core)
    common = Config(
        # `pause_on_outages` sends again; what is left of boto's mode is that it slows down where the store asks for it
        retries={"mode": "adaptive", "total_max_attempts": 1},
        connect_timeout=CONNECT_S,
        max_pool_connections=64,  # as many as threads read clips
        # Older Ceph and MinIO refuse the checksums that newer boto3 adds unasked.
        request_checksum_calculation=os.environ.get("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required"),
        response_checksum_validation=os.environ.get("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required"),
    )
    unsigned = common.merge(Config(signature_version=UNSIGNED))
    signed = common.merge(Config(signature_version="s3v4"))  # else URLs are signed by version 2, which is refused
    try:
        if public_region:
            mirror = os.environ.get("EARSHOT_PUBLIC_ENDPOINT_URL")
            aws = Config(region_name=public_region, ignore_configured_endpoint_urls=True)
            s3 = session.client("s3", endpoint_url=mirror, config=unsigned.merge(aws))
            pause_on_outages(s3, "Name a mirror in EARSHOT_PUBLIC_ENDPOINT_URL, or a copy.", "media")
        else:
            has_credentials = session.get_credentials() is not None
            if not has_credentials and os.environ.get(SIGNED):
                raise UnreadError(
                    "s3: this node finds no AWS credentials, the command that uses it has some. Expected an instance "
                    "profile whose metadata service answers, or keys in the environment of every node."
                )
            s3 = session.client("s3", config=signed if has_credentials else unsigned)
            if has_credentials:
                _HAS_SIGNED.set()
            pause_on_outages(s3, "Check AWS_ENDPOINT_URL, the network and the store.", "outage")
    except ValueError as error:  # of boto, such as `Invalid endpoint: bucket.local`
        raise ConfigError(f"s3: {error}. Expected http:// or https:// and a host's name in AWS_ENDPOINT_URL.") from None
    return s3


def node_environment() -> dict[str, str]:
    """Variables for the workers on other nodes: whether a client that signs was made in this process."""
    return {SIGNED: "1"} if _HAS_SIGNED.is_set() else {}


def is_unsigned(s3: Any) -> bool:
    """Whether a client signs nothing, for want of credentials or because the bucket is open to anybody."""
    return s3.meta.config.signature_version is UNSIGNED
