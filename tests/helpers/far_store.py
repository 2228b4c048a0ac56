"""A folder as an S3 bucket far away: ranges of its files over loopback HTTP, each answer late. Unsigned, reading only.

Run: python -m tests.helpers.far_store FOLDER LATENCY_S. It prints its port.
"""

import asyncio
import contextlib
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

RANGE = re.compile(rb"\r\nrange: bytes=(\d+)-(\d+)\r\n", re.IGNORECASE)


@contextlib.contextmanager
def far_store(folder: str, latency_s: float) -> Iterator[dict[str, str]]:
    """The environment in which s3://bucket is the folder, served by a process of its own."""
    command = [sys.executable, "-m", "tests.helpers.far_store", folder, str(latency_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1"}
            yield {"AWS_ENDPOINT_URL": url} | keys
        finally:
            server.kill()


async def serve(folder: Path, latency_s: float) -> None:
    """Answer `GET /bucket/KEY` with a range of a file, until killed."""
    read = functools.cache(lambda key: memoryview((folder / key).read_bytes()))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while request := await reader.readuntil(b"\r\n\r\n"):
                key = request.split(b" ")[1].decode().partition("?")[0].removeprefix("/bucket/")
                data, found = read(key), RANGE.search(request)
                first, last = (int(found[1]), int(found[2])) if found else (0, len(data) - 1)
                await asyncio.sleep(latency_s)
                range_line = f"Content-Range: bytes {first}-{last}/{len(data)}"
                head = f"HTTP/1.1 206 Partial Content\r\nContent-Length: {last + 1 - first}\r\n{range_line}\r\n\r\n"
                writer.writelines([head.encode(), data[first : last + 1]])
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), float(sys.argv[2])))
