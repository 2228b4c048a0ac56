"""The server, asked over loopback: a video becomes its files, and what is refused says why."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.payload import BytesPayload
from aiohttp.test_utils import TestClient, TestServer
from conftest import MakeMedia

from jobs.serve import command
from pipeline.errors import ConfigError
from pipeline.inference.separating import Options, separate_video
from pipeline.inference.serving import Limits, Server
from pipeline.storage import files
from tests.helpers.browser import Browser, overflow, wait_until
from tests.helpers.films import H264, LAVFI
from tests.helpers.separators import SPEC, BandSplit

TOKEN = "a-token"
Ask = Callable[..., Awaitable[tuple[int, Any]]]


def really(uri: str, folder: str, report: Any) -> Any:
    return separate_video(uri, folder, SPEC, BandSplit(), Options(write_sources=True, write_page=True), report)


def served(
    folder: Path, test: Callable[[Ask], Awaitable[None]], separate: Callable[..., Any] = really, **limits: Any
) -> None:
    """Run a test while a server answers."""

    async def run() -> None:
        folder.mkdir(exist_ok=True)
        server = Server(separate, folder, TOKEN, Limits(**limits))
        async with TestClient(TestServer(server.app)) as client:

            async def ask(method: str, path: str, token: str = TOKEN, **options: Any) -> tuple[int, Any]:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                async with client.request(method, path, headers=headers, **options) as answer:
                    assert answer.headers["Referrer-Policy"] == "no-referrer"
                    data = await answer.read()
                    return answer.status, json.loads(data) if answer.content_type == "application/json" else data

            await test(ask)

    asyncio.run(run())


async def ended(ask: Ask, url: str) -> dict[str, Any]:
    """The state of a video once it is done or refused."""
    while (state := (await ask("GET", url))[1])["status"] in ("waiting", "working"):
        await asyncio.sleep(0.02)
    return state


@pytest.fixture(scope="module")
def video(make_media: MakeMedia) -> Path:
    sources = (*LAVFI, "color=navy:s=64x48:r=10:d=6", *LAVFI, "sine=frequency=500:duration=6")
    return make_media("served.mp4", *sources, *H264)


def test_a_video_becomes_sources_probabilities_and_a_page(video: Path, tmp_path: Path) -> None:
    async def test(ask: Ask) -> None:
        code, asked = await ask("POST", "/videos?name=../my <b>.mp4", data=video.read_bytes())
        assert code == 202
        state = await ended(ask, asked["url"])
        assert state["status"] == "done"
        assert state["page"] == "player.html"
        assert state["record"]["windows"][0]["probability"] == [1.0, 0.0]
        assert {"on_screen.flac", "off_screen.mp4", "source_1.flac", "source_2.flac"} < set(state["files"])
        _, page = await ask("GET", f"{asked['url']}/player.html")
        assert b"<h1>_my _b_.mp4</h1>" in page
        assert (await ask("GET", f"{asked['url']}/on_screen.flac"))[1].startswith(b"fLaC")
        for name in ("other.flac", "..%2F..%2Fetc%2Fpasswd", "%2e%2e"):
            assert (await ask("GET", f"{asked['url']}/{name}"))[0] == 404
        assert (await ask("DELETE", asked["url"]))[0] == 200
        code, gone = await ask("GET", asked["url"])
        assert (code, gone["error"]["detail"]) == (404, "no such video, or it is forgotten.")
        assert list((tmp_path / "served").iterdir()) == []

    served(tmp_path / "served", test)


def test_a_video_in_a_bucket_is_read_from_there_and_what_is_not_says_why(
    video: Path, tmp_path: Path, s3_bucket: str
) -> None:
    files.commit_bytes(f"{s3_bucket}/in/a b.mp4", video.read_bytes())
    files.commit_bytes(f"{s3_bucket}/private/a.mp4", video.read_bytes())

    async def test(ask: Ask) -> None:
        code, asked = await ask("POST", "/videos", json={"uri": f"{s3_bucket}/in/a b.mp4"})
        assert code == 202
        state = await ended(ask, asked["url"])
        assert state["status"] == "done", state
        assert state["record"]["windows"][0]["probability"] == [1.0, 0.0]
        assert b"<h1>a b.mp4</h1>" in (await ask("GET", f"{asked['url']}/player.html"))[1]
        _, asked = await ask("POST", "/videos", json={"uri": f"{s3_bucket}/in/absent.mp4"})
        state = await ended(ask, asked["url"])
        assert state == {"status": "refused", "reason": "missing", "detail": "there is no video at the address."}
        for uri in (f"{s3_bucket}/private/a.mp4", f"{s3_bucket}/in/../private/a.mp4", f"{s3_bucket}/in"):
            assert (await ask("POST", "/videos", json={"uri": uri}))[0] == 403

    served(tmp_path / "served", test, prefixes=(f"{s3_bucket}/in/",))


@pytest.mark.parametrize("name", ["out", "%F0%9F%8E%AC" * 100 + ".mp4", "%F0%A0%80%80" * 100, "..", "a%2Fb"])
def test_an_upload_may_have_any_name(tmp_path: Path, name: str) -> None:
    def separate(uri: str, folder: str, report: Any) -> str:
        assert Path(uri).read_bytes() == b"a video"
        Path(folder).mkdir()
        (Path(folder) / "separation.json").write_text('{"files": []}')
        return "done"

    async def test(ask: Ask) -> None:
        code, asked = await ask("POST", f"/videos?name={name}", data=b"a video")
        assert code == 202
        assert (await ended(ask, asked["url"]))["status"] == "done"

    served(tmp_path / "served", test, separate)


def test_without_the_token_nothing_is_answered(tmp_path: Path) -> None:
    async def test(ask: Ask) -> None:
        for method, path in (("GET", "/"), ("POST", "/videos"), ("GET", "/videos/x"), ("GET", "/nothing")):
            for token in ("", "a-toke", "ä", "\udcff"):
                code, said = await ask(method, path, token=token)
                assert (code, said["error"]["reason"]) == (401, "token")
        assert (await ask("GET", f"/?token={TOKEN}", token=""))[0] == 200
        assert (await ask("GET", "/nothing"))[0] == 404

    served(tmp_path / "served", test)


def test_refused_uploads_say_why_and_leave_nothing(video: Path, tmp_path: Path) -> None:
    async def test(ask: Ask) -> None:
        async def chunks() -> Any:  # no length is said before
            for _ in range(30):
                yield bytes(10_000)

        for data in (bytes(200_001), chunks()):
            code, said = await ask("POST", "/videos", data=data)
            assert (code, said["error"]["reason"]) == (413, "too_large")
        assert (await ask("POST", "/videos"))[0] == 400
        for body in ({"uri": "s3://mine/../other/a.mp4"}, {"uri": "/etc/passwd"}, {"uri": "s3://others/a.mp4"}):
            code, said = await ask("POST", "/videos", json=body)
            assert (code, said["error"]["reason"]) == (403, "address")
        for body in ([1], {"video": 1}):
            assert (await ask("POST", "/videos", json=body))[0] == 400
        deep = BytesPayload(b"[" * 9_000, content_type="application/json")
        assert (await ask("POST", "/videos", data=deep))[0] == 400
        assert list((tmp_path / "served").iterdir()) == []
        for data, reason in ((b"no video at all", "unreadable"), (video.read_bytes(), "too_long")):
            _, asked = await ask("POST", "/videos", data=data)
            state = await ended(ask, asked["url"])
            assert (state["status"], state["reason"]) == ("refused", reason)
            assert str(tmp_path) not in state["detail"]

    served(tmp_path / "served", test, max_bytes=200_000, max_s=3.0, prefixes=("s3://mine/",))


def test_a_full_queue_refuses_and_results_are_forgotten_in_their_order(tmp_path: Path) -> None:
    going = threading.Event()

    def wait(uri: str, folder: str, report: Any) -> str:
        going.wait()
        if Path(uri).read_bytes() == b"3":
            raise RuntimeError("unforeseen")
        Path(folder).mkdir()
        (Path(folder) / "separation.json").write_text('{"files": []}')
        return "done"

    async def test(ask: Ask) -> None:
        urls = []
        for number in range(4):
            code, said = await ask("POST", "/videos", data=str(number).encode())
            assert code == 202
            urls.append(said["url"])
            while number == 0 and (await ask("GET", urls[0]))[1]["status"] == "waiting":
                await asyncio.sleep(0.01)
        code, said = await ask("POST", "/videos", data=b"5")
        assert (code, said["error"]["reason"]) == (503, "busy")
        assert (await ask("GET", urls[2]))[1] == {"status": "waiting", "ahead": 1}
        assert (await ask("DELETE", urls[0]))[0] == 409
        going.set()
        assert (await ended(ask, urls[3]))["reason"] == "failed"  # and the server goes on
        assert [(await ask("GET", url))[0] for url in urls] == [404, 404, 200, 200]

    served(tmp_path / "served", test, wait, max_waiting=3, max_results=2)


def test_a_result_without_its_record_is_refused_and_the_next_video_is_worked_on(tmp_path: Path) -> None:
    def separate(uri: str, folder: str, report: Any) -> str:
        Path(folder).mkdir()
        if Path(uri).read_bytes() == b"2":
            (Path(folder) / "separation.json").write_text('{"files": []}')
        return "done"

    async def test(ask: Ask) -> None:
        urls = [(await ask("POST", "/videos", data=data))[1]["url"] for data in (b"1", b"2")]
        assert [(await ended(ask, url))["status"] for url in urls] == ["refused", "done"]

    served(tmp_path / "served", test, separate)


def test_a_video_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    def endless(uri: str, folder: str, report: Any) -> None:
        while True:
            report("separate", 1.0, 2.0)

    async def test(ask: Ask) -> None:
        _, asked = await ask("POST", "/videos", data=b"x")
        assert (await ended(ask, asked["url"]))["reason"] == "timeout"

    served(tmp_path / "served", test, endless, max_work_s=0.2)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a server in a thread of its own."""
    (tmp_path / "served").mkdir()
    started, found, loop = threading.Event(), list[str](), asyncio.new_event_loop()

    async def start() -> TestServer:
        server = TestServer(Server(really, tmp_path / "served", TOKEN, Limits(max_s=10)).app)
        await server.start_server()
        found.append(str(server.make_url("/")))
        started.set()
        return server

    def run() -> None:
        server = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(server.close())

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    yield found[0]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_its_page_takes_a_video_and_leads_to_the_player(address: str, video: Path, browser: Browser) -> None:
    browser.own += (address, address.replace("http:", "blob:http:"))
    page = browser.context(width=420, is_dark=True).new_page()
    page.goto(f"{address}?token={TOKEN}")
    assert overflow(page) == 0
    page.set_input_files("#video", {"name": "broken.mp4", "mimeType": "video/mp4", "buffer": b"no video"})
    page.click("#go")
    page.wait_for_selector("text=Refused (unreadable)")
    page.set_input_files("#video", str(video))
    page.click("#go")
    page.click("text=player.html")
    page.wait_for_selector("#play:enabled")
    assert page.inner_text("h1") == video.name
    page.click("#play")
    wait_until(page, "video.currentTime > 0.2 && level > 0.01")


def test_it_listens_on_loopback_and_takes_prefixes_of_buckets_only() -> None:
    assert command.__defaults__[1] == "127.0.0.1"
    for prefix in ("/videos/", "s3://bucket", "https://example.org/"):
        with pytest.raises(ConfigError, match="expected s3://bucket/"):
            command("root", allow=[prefix])
