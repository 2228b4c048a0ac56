"""What an object store's answers mean: which pass by themselves, and what to do about the others.

Every request of a client goes through `pause_on_outages`: of a listing each page, of an upload each part. boto's own
repeats are off. A request is sent again if it got no answer, an answer of the server's (5xx) or one that asks for fewer
requests. It is safe to repeat: a PUT puts the same bytes, a conditional one is distinguished by its content (`create`),
a conditional DELETE names the revision. What another try would meet again is raised at once.
"""

import functools
import re
import time
import urllib.parse
from typing import Any

from botocore import exceptions as boto

from pipeline.errors import OutageError
from pipeline.storage import outages

# Answers of 4xx that ask for patience; all codes with Throttl, such as KMS.ThrottlingException, do too.
PASSING_CODES = ("SlowDown", "RequestTimeout", "RequestLimitExceeded", "BandwidthLimitExceeded", "TooManyRequests")
LASTING_STATUS = (501, 505)  # not implemented: the server's, and for good
GIVEN_UP_AT_ONCE = "AbortMultipartUpload"  # follows on an upload that failed; the bucket's rule removes what is left
# What to do about an answer that another try would meet again, by its code.
ADVICE = {
    "NoSuchBucket": "There is no such bucket at this endpoint: check its name and AWS_ENDPOINT_URL.",
    "InvalidAccessKeyId": "The store does not know this access key: check AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL.",
    "SignatureDoesNotMatch": "The secret is not the one of this access key: check AWS_SECRET_ACCESS_KEY.",
    "ExpiredToken": "The credentials have expired: renew them, and AWS_SESSION_TOKEN with them.",
    "InvalidToken": "The session token does not belong to these credentials: check AWS_SESSION_TOKEN.",
    "RequestTimeTooSkewed": "This machine's clock differs from the store's by more than a quarter of an hour: set it.",
    "AccessDenied": "These credentials may not do that: check the policy of the user and of the bucket.",
    "AuthorizationHeaderMalformed": "The bucket is in another region: check AWS_DEFAULT_REGION.",
}


def pause_on_outages(client: Any, remedy: str, topic: str) -> None:
    """Let every request of a boto3 client outlast an outage of the store, for `outages.limit_s()` at most.

    Args:
        client: of boto3, with a total of one attempt of its own.
        remedy: a sentence, what to do if the outage lasts longer.
        topic: of the error then (`pipeline.errors`).
    """
    client.meta.events.register("before-parameter-build.s3", _begin)
    client.meta.events.register("needs-retry.s3", functools.partial(_wait_s, remedy=remedy, topic=topic))


def advice(error: Exception) -> str:
    """What to do about an error of boto's, as a sentence after a space; "" where its text says enough."""
    sentence = ADVICE.get(code_of(error), "")
    if isinstance(error, boto.NoCredentialsError):
        sentence = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    elif isinstance(error, boto.SSLError):
        sentence = "Check AWS_ENDPOINT_URL (http or https), and AWS_CA_BUNDLE where the certificate is your own."
    elif isinstance(error, boto.HTTPClientError):
        sentence = "Check AWS_ENDPOINT_URL."
    return f" {sentence}" if sentence else ""


def code_of(error: Any) -> str:
    """The code of an answer that boto raised, such as NoSuchKey; "" for an error that is none."""
    return error.response.get("Error", {}).get("Code", "") if isinstance(error, boto.ClientError) else ""


def _begin(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["earshot"] = params.get("Bucket"), params.get("Key", ""), time.monotonic()
    if (most_s := outages.most_s()) is not None:
        context["read_timeout"] = max(1.0, most_s)  # a store that accepts and says nothing is an outage too


def _wait_s(
    response: tuple[Any, dict[str, Any]] | None,
    attempts: int,
    operation: Any,
    request_dict: dict[str, Any],
    caught_exception: BaseException | None,
    remedy: str,
    topic: str,
    **_: Any,
) -> float | None:
    """Seconds until the request is sent again, for boto to sleep; None to take its answer.

    Raises:
        OutageError: it has been sent again for long enough.
    """
    bucket, key, since_s = request_dict["context"]["earshot"]
    place = f"s3://{bucket}"
    if response is not None:
        response[1].get("ResponseMetadata", {}).pop("MaxAttemptsReached", None)  # boto's, of its one attempt
        status, code = response[0].status_code, response[1].get("Error", {}).get("Code", "")
        passes = status == 429 or (status >= 500 and status not in LASTING_STATUS)
        if not passes and code not in PASSING_CODES and "Throttl" not in code:
            outages.ended(place)
            return None
        found = " ".join(dict.fromkeys(("turned away with", str(status), code))).rstrip()
    elif caught_exception is not None and _passes(caught_exception):
        url = urllib.parse.urlsplit(request_dict["url"])
        found = f"no answer from {url.scheme}://{url.netloc} ({_reason(caught_exception)})"
    else:
        return None
    seconds = outages.wait_s(place, found, since_s, attempts)
    if seconds is None or operation.name == GIVEN_UP_AT_ONCE:
        times = f"{attempts} times in {time.monotonic() - since_s:.0f} s"
        raise OutageError(f"{place}/{key}: {found}, {times}. {remedy}", topic) from caught_exception
    return seconds


def _passes(error: BaseException) -> bool:
    """Whether a request that got no answer may get one later: its address can be one, and the endpoint is trusted."""
    if isinstance(error, boto.SSLError):
        return bool(re.search("EOF|timed out|reset", str(error)))  # else a certificate, or no TLS at all
    cause = getattr(error, "kwargs", {}).get("error")
    return isinstance(error, boto.ConnectionError | boto.HTTPClientError) and not isinstance(cause, ValueError)


def _reason(error: BaseException) -> str:
    """`Connection refused` out of boto's sentence; without a reason of the system's, the kind of the error."""
    if isinstance(error, boto.ReadTimeoutError | boto.ConnectTimeoutError):
        return "timed out"
    cause = str(getattr(error, "kwargs", {}).get("error", error))
    reason = re.search(r"\[Errno -?\d+\] ([^'\")\[\]]+)|\(-?\d+, '([^']+)'\)", cause)
    return (reason[1] or reason[2]).strip() if reason else "connection closed"
