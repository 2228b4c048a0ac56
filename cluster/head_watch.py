"""Whether the head of a cluster answers, asked beside the work.

Ray itself waits a minute for it in silence. Then it ends this process in the middle of whatever it does, without a word
of which cluster is gone and what to do.

The thread only looks and speaks. Who waits for the cluster asks `check_head`, and the command ends as of any error, so
that locks are released. A main thread at work of its own is interrupted, to the same end. Where it hangs in a call of
Ray, the watch ends the process itself: with the exit code of the command, if only Ray's goodbye hangs. For that goodbye
it does not wait LOST_S: all that the command does is on disk, and the raylets notice a driver that is gone.
"""

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

PERIOD_S = 2.0
SAY_AFTER_S = 3.0  # a head that is busy for a moment
# Ray gives up after 60 s, and the raylets of the nodes with it. A head that is started again by then is joined again
# only where it keeps its state outside (GCS fault tolerance); elsewhere these seconds bridge a network that is slow.
LOST_S = 40.0
LEAVE_S = 5.0  # for the process to end by itself, and as long again once a command at work is interrupted
FAILED = 1

Ask = Callable[[], str]


class Watch:
    """Asks a head again and again.

    Args:
        address: of the cluster, as the user knows it.
        ask: "" if the head answers, else how it does not.
        node: of the raylet that this process uses, a host and a port; None where it uses none.
    """

    def __init__(self, address: str, ask: Ask, node: tuple[str, int] | None = None) -> None:
        self._address, self._ask, self._node = address, ask, node
        self._silent_since_s: float | None = None
        self._is_said = self._is_over = False
        self._lost: str | None = None
        self.exit_code = FAILED
        """What the last command ended with."""

    def start(self) -> None:
        """Ask from now on, on a thread that ends with the process, or with its connection to Ray."""
        atexit.register(self._end)  # before Ray's own, which would wait for the head
        threading.Thread(target=self._watch, daemon=True, name="head").start()

    def _end(self) -> None:
        self._is_over = True
        with contextlib.suppress(OSError, ValueError):  # nobody reads it
            sys.stdout.flush()  # which `os._exit` leaves out

    @property
    def is_silent(self) -> bool:
        """Whether the head did not answer when it was asked last: calls of Ray that need it would hang."""
        return self._silent_since_s is not None

    def check(self) -> None:
        """Refuse to wait for a cluster that is lost.

        Raises:
            ConnectionError: it is.
        """
        if self._lost is not None:
            raise ConnectionError(self._lost)

    def _watch(self) -> None:
        import ray  # at the top it would cost commands without Ray a second

        while not self.look(time.monotonic()):
            if self._is_over and self.is_silent:
                break
            time.sleep(PERIOD_S)
            if not ray.is_initialized():
                return
        time.sleep(LEAVE_S)
        if not self._is_over:
            _interrupt_main()
            time.sleep(LEAVE_S)
        # a driver without its cluster would wait to say goodbye to it
        if self._is_over:  # the command has said it, or was done before
            os._exit(self.exit_code)
        print(f"earshot: {self._lost}", file=sys.stderr, flush=True)
        os._exit(FAILED)

    def look(self, now_s: float) -> bool:
        """Ask once; whether the cluster is lost by now."""
        found = "" if self._node is None else refusal(*self._node)
        if found:
            where = "{}:{}".format(*self._node or ())
            self._lose(f"Ray's raylet of this process, at {where}, is gone ({found})")
            return True
        found = self._ask()
        if not found:
            if self._is_said and self._silent_since_s is not None:
                self._say(f"the head is back after {now_s - self._silent_since_s:.0f} s")
            self._silent_since_s, self._is_said = None, False
            return False
        if self._silent_since_s is None:
            self._silent_since_s = now_s
        silent_s = now_s - self._silent_since_s
        if silent_s >= LOST_S:
            self._lose(f"the head has not answered for {silent_s:.0f} s ({found})")
            return True
        if silent_s >= SAY_AFTER_S and not self._is_said:
            self._is_said = True
            self._say(f"the head does not answer ({found}); waiting for it for up to {LOST_S:.0f} s")
        return False

    def _lose(self, why: str) -> None:
        self._lost = (
            f"--address {self._address}: the cluster was lost: {why}. Bring it up again; then the same command goes on "
            "from what is finished."
        )

    def _say(self, text: str) -> None:
        print(f"--address {self._address}: {text}", file=sys.stderr, flush=True)


def refusal(host: str, port: int) -> str:
    """How a port refuses a connection; "" where it takes one, or says nothing in a second."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return ""
    except TimeoutError:
        return ""
    except OSError as error:
        return error.strerror or str(error)


def _interrupt_main() -> None:
    """Interrupt the main thread as a scheduler does: SIGINT is ignored in the background of a shell."""
    main = threading.main_thread().ident
    if main is not None and callable(signal.getsignal(signal.SIGTERM)):
        signal.pthread_kill(main, signal.SIGTERM)


_watch: Watch | None = None


def watch(address: str, ask: Ask, node: tuple[str, int] | None = None) -> None:
    """Watch the cluster that this process has just joined. Arguments as of `Watch`."""
    global _watch
    _watch = Watch(address, ask, node)
    _watch.start()


def is_silent() -> bool:
    """Whether the head of the cluster that this process uses does not answer at the moment."""
    return _watch is not None and _watch.is_silent


def check_head() -> None:
    """Refuse to wait for a cluster that is lost.

    Raises:
        ConnectionError: it is.
    """
    if _watch is not None:
        _watch.check()


def note_exit_code(code: int) -> None:
    """Note what the command ends with, should Ray keep this process from ending by itself."""
    if _watch is not None:
        _watch.exit_code = code
