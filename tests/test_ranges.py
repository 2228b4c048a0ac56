"""Ranges by plain HTTP: whole answers are taken, everything else is left to boto3."""

import contextlib
import http.server
import itertools
import os
import socket
import threading
from collections.abc import Iterable, Iterator

import pytest

from pipeline.storage import ranges

OBJECT = bytes(range(256)) * 4
PLACES = {
    "/whole": 206, "/unranged": 200, "/refused": 403, "/busy": 503, "/moved": 307, "/short": 206, "/long": 206,
    "/elsewhere": 206, "/closing": 206,
}  # fmt: skip


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        data = OBJECT[int(first) : int(last) + 1 + self.path.startswith("/long")]
        self.send_response(PLACES[self.path.partition("?")[0]])
        self.send_header("Content-Length", str(len(data)))
        is_elsewhere = self.path.startswith("/elsewhere")
        self.send_header("Content-Range", f"bytes {int(first) + is_elsewhere}-{int(last) + is_elsewhere}/{len(OBJECT)}")
        self.send_header("Location", "/whole")
        if self.path.startswith("/closing"):
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data[:-1] if self.path.startswith("/short") else data)
        if self.path.startswith("/short"):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class Signer:
    """A client that signs with a word in the query."""

    def __init__(self, url: str) -> None:
        self.url, self.signed = url, 0

    def generate_presigned_url(self, method: str, place: dict[str, str], valid_s: int) -> str:
        assert method == "get_object"
        self.signed += 1
        return f"{self.url}/{place['Key']}?signature=1"


def read(url: str, key: str, offset: int = 0, length: int = 10) -> bytes | None:
    return ranges.read(Signer(url), {"Bucket": "bucket", "Key": key}, offset, length)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """A store's URL, and the paths that it is asked for."""
    monkeypatch.setattr(ranges, "_paused_until", {})
    monkeypatch.setattr(Handler, "asked", [], raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", Handler.asked
        server.shutdown()


def test_a_range_is_read_with_the_query_that_signs_it(asked: tuple[str, list[str]]) -> None:
    url, paths = asked
    assert read(url, "whole", 100, 300) == OBJECT[100:400]
    assert paths == ["/whole?signature=1"]


def test_an_object_is_signed_once_for_many_ranges(asked: tuple[str, list[str]]) -> None:
    signer, place = Signer(asked[0]), {"Bucket": "bucket", "Key": "whole"}
    found = [ranges.read(signer, place, offset, 7) for offset in range(5)]
    assert found == [OBJECT[offset : offset + 7] for offset in range(5)]
    assert signer.signed == 1


def test_a_connection_that_the_store_has_closed_meanwhile_is_replaced(asked: tuple[str, list[str]]) -> None:
    url, paths = asked
    assert read(url, "whole") == OBJECT[:10]
    (kept,) = ranges._idle_connections(url.removeprefix("http://"), os.getpid())
    kept.shutdown(socket.SHUT_RDWR)
    assert read(url, "whole") == OBJECT[:10]
    assert len(paths) == 2


@pytest.mark.parametrize("place", ["unranged", "refused", "busy", "moved", "short", "long", "elsewhere"])
def test_any_other_answer_gives_nothing_and_leaves_the_store_to_boto3_for_a_while(
    place: str, asked: tuple[str, list[str]]
) -> None:
    url, paths = asked
    assert read(url, place) is None
    assert read(url, "whole") is None
    assert paths == [f"/{place}?signature=1"]


def test_a_connection_that_the_store_will_close_is_not_kept(asked: tuple[str, list[str]]) -> None:
    url, _ = asked
    assert read(url, "closing") == OBJECT[:10]
    assert ranges._idle_connections(url.removeprefix("http://"), os.getpid()) == []


def served(answer: Iterable[bytes]) -> bytes | None:
    """What `read` gives where a store answers the first request with these pieces, and then closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(ConnectionError):
                connection.recv(1000)
                for piece in answer:
                    connection.sendall(piece)

        threading.Thread(target=talk, daemon=True).start()
        return read(f"http://127.0.0.1:{server.getsockname()[1]}", "whole")


HEAD = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/1024\r\n"


@pytest.mark.usefixtures("asked")
def test_an_answer_in_pieces_of_a_byte_is_put_together() -> None:
    answer = HEAD + b"Content-Length: 10\r\n\r\n" + OBJECT[:10]
    assert served(bytes([byte]) for byte in answer) == OBJECT[:10]


@pytest.mark.usefixtures("asked")
def test_an_answer_in_chunks_is_put_together() -> None:
    chunks = b"4\r\n" + OBJECT[:4] + b"\r\n6\r\n" + OBJECT[4:10] + b"\r\n0\r\n\r\n"
    assert served([HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks]) == OBJECT[:10]


@pytest.mark.usefixtures("asked")
def test_of_two_answers_to_one_request_neither_is_taken() -> None:
    answer = HEAD + b"Content-Length: 10\r\n\r\n" + OBJECT[:10]
    assert served([answer + answer]) is None


@pytest.mark.usefixtures("asked")
def test_what_is_no_http_gives_nothing() -> None:
    assert served([b"220 mail.example ESMTP\r\n"]) is None


@pytest.mark.usefixtures("asked")
def test_a_head_without_end_is_given_up() -> None:
    sent = itertools.count()

    def answer() -> Iterator[bytes]:
        yield HEAD
        for number in itertools.takewhile(lambda number: number < 1000, sent):
            yield b"x-%d: " % number + b"x" * 10_000 + b"\r\n"

    assert served(answer()) is None
    assert next(sent) < 1000  # of 10 kB each; the store is cut off before


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("host", ["a..b.example", "a" * 70 + ".example"])
def test_what_can_be_no_host_gives_nothing(host: str) -> None:
    assert read(f"http://{host}", "whole") is None


def test_a_host_that_does_not_answer_gives_nothing(asked: tuple[str, list[str]]) -> None:
    assert read("http://127.0.0.1:1", "whole") is None


def test_where_a_proxy_is_configured_nothing_goes_past_it(
    asked: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, paths = asked
    ranges._has_proxy.cache_clear()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    assert read(url, "whole") is None
    assert paths == []
    ranges._has_proxy.cache_clear()
