"""What workers wait for, such as a store that does not answer: said by them, shown by the driver.

A worker's stderr ends in Ray's logs. So its words are kept by the head, in the store of keys and values that Ray has
for its own, which needs no process and no room on a node. Losing one costs nothing: who still waits says so again.
"""

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import ray
from ray.experimental.internal_kv import (
    _internal_kv_del as delete,
)
from ray.experimental.internal_kv import (
    _internal_kv_get as get,
)
from ray.experimental.internal_kv import (
    _internal_kv_list as list_keys,
)
from ray.experimental.internal_kv import (
    _internal_kv_put as put,
)

from cluster.sharing import format_node

NAMESPACE = b"earshot-waits"
SAY_EVERY_S = 60.0
LOOK_EVERY_S = 5.0
# A worker that waits says so once a minute; one that has not for so long was killed.
FORGET_S = 150.0
MAX_NAMED = 3
# By what is waited for, how it fails and for how many seconds so far.
Waiting = Mapping[str, tuple[str, float]]


def to_stderr(line: str) -> None:
    """Say a line where nothing else says it."""
    print(line, file=sys.stderr, flush=True)


def report(waiting: Waiting) -> None:
    """Leave word for the driver what this process waits for; of nothing, that it goes on. May be lost."""
    with contextlib.suppress(Exception):  # Ray has no common type for it, and the work is not to fail by it
        _report(waiting)


def _report(waiting: Waiting) -> None:
    context = ray.get_runtime_context()
    key = f"{context.get_job_id()}/{context.get_node_id()}/{os.getpid()}".encode()
    if waiting:
        node = format_node(socket.gethostname(), ray.util.get_node_ip_address(), context.get_node_id())
        put(key, json.dumps({"node": node, "waiting": dict(waiting)}).encode(), namespace=NAMESPACE)
    else:
        delete(key, namespace=NAMESPACE)


class _Seen(NamedTuple):
    value: bytes
    at_s: float


class Waits:
    """The driver's view of what the workers of its job wait for.

    Args:
        say: takes a line for the user.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._job = f"{ray.get_runtime_context().get_job_id()}/".encode()
        self._seen: dict[bytes, _Seen] = {}
        self._said_s: dict[str, float] = {}
        self._looked_s = 0.0

    def look(self) -> None:
        """Say what is waited for, where it is new and once a minute, and what is over; LOOK_EVERY_S apart at least."""
        now = time.monotonic()
        if now - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now
        try:
            found = {key: get(key, namespace=NAMESPACE) for key in list_keys(self._job, namespace=NAMESPACE)}
        except Exception:  # noqa: BLE001  Ray has no common type for it; the next look may show more
            return
        self.show({key: value for key, value in found.items() if value is not None}, now)

    def show(self, found: Mapping[bytes, bytes], now_s: float) -> None:
        """Say what the values of the keys mean at that time."""
        seen = {key: self._seen.get(key, _Seen(b"", 0.0)) for key in found}
        self._seen = {
            key: seen[key] if seen[key].value == value else _Seen(value, now_s) for key, value in found.items()
        }
        places: dict[str, list[tuple[float, str, str]]] = {}
        for value, at_s in self._seen.values():
            if now_s - at_s < FORGET_S:
                report = json.loads(value)
                for place, (how, seconds) in report["waiting"].items():
                    places.setdefault(place, []).append((seconds + now_s - at_s, report["node"], how))
        for place, waits in places.items():
            if now_s - self._said_s.get(place, float("-inf")) >= SAY_EVERY_S:
                self._said_s[place] = now_s
                longest_s, _, how = max(waits)
                nodes = list(dict.fromkeys(node for _, node, _ in sorted(waits, reverse=True)))
                more = f" and {len(nodes) - MAX_NAMED} more" if len(nodes) > MAX_NAMED else ""
                where = f"{', '.join(nodes[:MAX_NAMED])}{more}"
                self._say(f"{place}: {how}; waiting for {longest_s:.0f} s on {where}")
        for place in self._said_s.keys() - places:
            del self._said_s[place]
            self._say(f"{place}: no longer waited for")
