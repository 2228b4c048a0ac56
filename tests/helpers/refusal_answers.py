"""Answers by which an object store refuses a request, as botocore receives them."""

import io
from collections.abc import Iterator

from botocore.awsrequest import AWSRequest, AWSResponse


class Body(io.BytesIO):
    """The body of an answer, as botocore reads it."""

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self.read()


def refusal(request: AWSRequest, status: int = 403, code: str = "AccessDenied") -> AWSResponse:
    """The answer with a status and the store's code for it."""
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    return AWSResponse(request.url, status, {"content-type": "application/xml"}, Body(body))
