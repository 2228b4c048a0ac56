"""Videos over HTTP -> sources, probabilities and the player's page, for a device that has no model.

    POST   /videos?name=holiday.mp4   the video as the body; or as JSON {"uri": "s3://..."}, below an allowed prefix
    GET    /videos/<id>               what has become of it: waiting, working, done with its files, or refused and why
    GET    /videos/<id>/<file>        one of them, such as player.html
    DELETE /videos/<id>               forget it
    GET    /                          a page that does all this

Every request needs the token, as `Authorization: Bearer <token>` or `?token=`. One video is worked on at a time, since
a model uses all cores or the GPU; a few wait, and one more is refused. Nothing is kept longer than the last results.

Design note: plain aiohttp, which Ray brings along. Ray Serve 2.60 was weighed: it installs beside what is pinned, as
eleven more packages of 9 MB, and would add replicas on several nodes. A video's state and files, up to 500 MB each way,
are those of the process that took it, so that replicas would need a store of their own first, and what is limited here,
size, time and queue, would be limited here still. For several nodes: a server on each, behind a proxy that keeps a
client with its server.
"""

import asyncio
import concurrent.futures
import hmac
import json
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from pipeline.errors import ClipError, DataError, MissingError, OutageError
from pipeline.inference.player_page import PLAYER
from pipeline.inference.video_writing import Report
from pipeline.pages import templates

Separate = Callable[[str, str, Report], Any]
"""(address, folder, report): writes the folder; raises ClipError or DataError, or what `report` raises."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
MAX_JSON_BYTES = 10_000
CHUNK_BYTES = 2**18
MAX_NAME = 60  # letters of an upload's name: of four bytes each they are 240, and a file's name may have 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is refused."""

    max_bytes: int = 500_000_000
    """Of an upload."""
    max_s: float = 120.0
    """Length of a video."""
    max_work_s: float = 600.0
    """Time that a video is worked on."""
    max_waiting: int = 4
    """Videos that wait."""
    max_results: int = 20
    """Results that are kept; the oldest goes first."""
    prefixes: tuple[str, ...] = ()
    """Addresses that may be asked for begin with one of these; none without."""


@dataclass(slots=True)
class Asked:
    """One video that was asked for."""

    folder: Path
    uri: str
    status: str = "waiting"
    """waiting, working, done or refused."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What is said of it beside its status."""


class RefusedError(Exception):
    """A request that is answered with a code and JSON that says why."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.reason, self.detail = status, reason, detail


class Server:
    """Takes videos, and gives what was made of them.

    Args:
        separate: the work on one video; called in one thread, one after the other.
        folder: an empty folder for uploads and results.
        token: what every request must have.
        limits: what is refused.
    """

    def __init__(self, separate: Separate, folder: Path, token: str, limits: Limits) -> None:
        self._separate, self._folder, self._token, self._limits = separate, folder, token, limits
        self._html = templates("pipeline.inference").get_template("serving_page.html").render()
        self._asked: dict[str, Asked] = {}
        self._queue: asyncio.Queue[Asked] = asyncio.Queue()
        self._uploads, self._is_ending = 0, False
        self.app = web.Application(middlewares=[self._checked])
        self.app.cleanup_ctx.append(self._working)
        self.app.router.add_get("/", self._page)
        self.app.router.add_post("/videos", self._post)
        self.app.router.add_get("/videos/{id}", self._state)
        self.app.router.add_delete("/videos/{id}", self._forget)
        self.app.router.add_get("/videos/{id}/{file}", self._file)

    # --- requests ---

    @web.middleware
    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse who has no token, and answer what is refused as JSON that says why."""
        given = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.query.get("token", "")
        response: web.StreamResponse
        try:
            if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token.encode()):
                raise RefusedError(401, "token", "the token is missing or wrong.")
            response = await handler(request)
        except web.HTTPException as error:  # no such route or method
            response = _refused(error.status, "request", error.reason)
        except RefusedError as error:
            response = _refused(error.status, error.reason, error.detail)
        response.headers.update(HEADERS)
        return response

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=self._html, content_type="text/html")

    async def _post(self, request: web.Request) -> web.StreamResponse:
        num_waiting = self._uploads + sum(asked.status == "waiting" for asked in self._asked.values())
        if num_waiting >= self._limits.max_waiting:
            detail = f"{num_waiting} videos are waiting already. Try again later."
            raise RefusedError(503, "busy", detail)
        name, folder = secrets.token_urlsafe(12), self._folder / secrets.token_hex(8)
        folder.mkdir()
        self._uploads += 1
        try:
            if request.content_type == "application/json":
                uri = await self._allowed_address(request)
            else:
                async with asyncio.timeout(self._limits.max_work_s):
                    uri = str(await self._upload(request, folder))
        except TimeoutError:
            shutil.rmtree(folder)
            detail = f"the video did not arrive within {self._limits.max_work_s:g} s."
            raise RefusedError(408, "timeout", detail) from None
        except BaseException:
            shutil.rmtree(folder)
            raise
        finally:
            self._uploads -= 1
        self._asked[name] = asked = Asked(folder, uri)
        await self._queue.put(asked)
        return web.json_response({"id": name, "url": f"/videos/{name}", "status": asked.status}, status=202)

    async def _allowed_address(self, request: web.Request) -> str:
        """The address that is asked for."""
        try:
            uri = json.loads(await request.content.read(MAX_JSON_BYTES))["uri"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RefusedError(400, "request", 'expected JSON such as {"uri": "s3://..."}.') from None
        is_plain = isinstance(uri, str) and ".." not in uri.split("/")
        if not is_plain or not uri.startswith(self._limits.prefixes or ("\0",)):
            raise RefusedError(403, "address", "this server takes no videos from there.")
        return uri

    async def _upload(self, request: web.Request, folder: Path) -> Path:
        """The file that the body becomes."""
        too_large = f"the video has more than the {self._limits.max_bytes} bytes that this server takes."
        if (request.content_length or 0) > self._limits.max_bytes:
            raise RefusedError(413, "too_large", too_large)
        name = re.sub(r"[^\w .()-]", "_", request.query.get("name", ""))[-MAX_NAME:].strip(". ") or "video"
        path, size = folder / "in" / name, 0
        path.parent.mkdir()
        with path.open("wb") as file:
            async for chunk in request.content.iter_chunked(CHUNK_BYTES):
                size += len(chunk)
                if size > self._limits.max_bytes:
                    raise RefusedError(413, "too_large", too_large)
                file.write(chunk)
        if not size:
            raise RefusedError(400, "request", "the body is empty; expected the bytes of a video.")
        return path

    async def _state(self, request: web.Request) -> web.StreamResponse:
        asked = self._find(request)
        ahead = [other for other in self._asked.values() if other.status == "waiting"]
        place = {"ahead": ahead.index(asked)} if asked.status == "waiting" else {}
        return web.json_response({"status": asked.status} | place | asked.facts)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        asked, name = self._find(request), request.match_info["file"]
        if name not in asked.facts.get("files", ()):
            raise RefusedError(404, "request", "no such file.")
        return web.FileResponse(asked.folder / "out" / name)

    async def _forget(self, request: web.Request) -> web.StreamResponse:
        asked = self._find(request)
        if asked.status == "working":
            raise RefusedError(409, "working", "the video is being worked on.")
        self._drop(request.match_info["id"])
        return web.json_response({"status": "forgotten"})

    def _find(self, request: web.Request) -> Asked:
        try:
            return self._asked[request.match_info["id"]]
        except KeyError:
            raise RefusedError(404, "request", "no such video, or it is forgotten.") from None

    # --- work ---

    async def _working(self, app: web.Application) -> AsyncIterator[None]:
        """While the server runs, one video after the other is separated."""
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            task = asyncio.create_task(self._work(pool))
            yield
            self._is_ending = True
            task.cancel()

    async def _work(self, pool: concurrent.futures.Executor) -> None:
        while True:
            asked = await self._queue.get()
            if asked not in self._asked.values():  # forgotten while it waited
                continue
            asked.status = "working"
            asked.status, asked.facts = await asyncio.get_running_loop().run_in_executor(pool, self._made_of, asked)
            ended = [name for name, other in self._asked.items() if other.status in ("done", "refused")]
            for name in ended[: -self._limits.max_results]:
                self._drop(name)

    def _made_of(self, asked: Asked) -> tuple[str, dict[str, Any]]:
        """Status and facts of a video, once it is worked on."""
        began, limits, out = time.monotonic(), self._limits, asked.folder / "out"

        def report(phase: str, done_s: float, total_s: float) -> None:
            asked.facts = {"phase": phase, "done_s": round(done_s, 1), "total_s": round(total_s, 1)}
            if max(done_s, total_s) > limits.max_s + 1:
                raise ClipError("too_long", f"it is longer than the {limits.max_s:g} s that this server takes.")
            if time.monotonic() - began > limits.max_work_s:
                raise ClipError("timeout", f"it was not separated within {limits.max_work_s:g} s.")
            if self._is_ending:
                raise ClipError("ended", "the server ends.")

        try:
            said = self._separate(asked.uri, str(out), report)
            record = json.loads((out / "separation.json").read_text())
        except ClipError as error:
            return "refused", {"reason": error.reason, "detail": error.detail}
        except MissingError:
            return "refused", {"reason": "missing", "detail": "there is no video at the address."}
        except OutageError:
            return "refused", {"reason": "outage", "detail": "the store of the video does not answer. Try again later."}
        except DataError:
            return "refused", {"reason": "unreadable", "detail": "the video cannot be read."}
        except Exception as error:  # noqa: BLE001 (the server goes on with the next video)
            return "refused", {"reason": "failed", "detail": f"{type(error).__name__} while it was separated."}
        has_page = PLAYER in (files := sorted(record["files"]))
        return "done", {"said": str(said), "files": files, "page": PLAYER if has_page else None, "record": record}

    def _drop(self, name: str) -> None:
        shutil.rmtree(self._asked.pop(name).folder, ignore_errors=True)


def _refused(status: int, reason: str, detail: str) -> web.Response:
    headers = {"Retry-After": "30"} if status == 503 else {}
    return web.json_response({"error": {"reason": reason, "detail": detail}}, status=status, headers=headers)
