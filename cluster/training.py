"""A training loop under Ray Train: processes, progress, restarts, more and fewer workers. What is trained is not known.

The loop keeps its own checkpoint in the workspace, in one atomic step, so Ray Train's part is to start the processes,
connect them, and start them again when one dies; the loop then goes on from that checkpoint by itself.

Design note: Ray Train's own restarts are off. It would count failures over the whole run, and would
restart deterministic errors too. Here a failure counts only if no step was reported since the failure before it.
Its own elastic training is not used either: it ends workers in the middle of a step, and ours save a checkpoint first.
"""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

# How often Ray Train asks its processes; at its own 2 s, each start and end of a training waits 5 s for nothing.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.25")
# How long workers wait for room until the driver says so and looks at the nodes anew.
os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "30")

import ray
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError  # has no public name

from cluster.faults import MAX_NODE_WAIT_S, MAX_TRAINING_FAILURES, PartError
from cluster.head_watch import is_silent
from cluster.mapping import check_alive
from cluster.progress import Reports
from cluster.waits import Waits, to_stderr
from cluster.worker_context import GPU_BACKENDS, RayContext
from cluster.worker_count import Further, format_wait, num_gpus, scale

POLL_S = 0.5
LOOK_EVERY_S = 30.0  # between looks at the nodes, where there is no room
# A restart costs as much as some minutes of training: workers that have just begun, or that may come together, wait.
GROW_AFTER_S = 60.0
NO_RESTARTS = FailureConfig(max_failures=0, max_preemption_failures=0, controller_failure_limit=0)


def fit(
    loop: Callable[[RayContext, dict[str, Any]], None],
    job: dict[str, Any],
    name: str,
    num_workers: int | None,
    on_report: Callable[[int, dict[str, float]], None],
    fatal: tuple[type[Exception], ...],
    transient: tuple[type[Exception], ...] = (),
    min_workers: int | None = None,
) -> None:
    """Run `loop(context, job)` on every training process until all have ended.

    Args:
        loop: an importable function; `job` is of plain JSON types. It returns early where `context.must_leave()`.
        name: of the run, for Ray's own records.
        num_workers: processes; None is one per GPU, or 1.
        on_report: called with the last (step, metrics) as they change.
        fatal: what the loop raises, on one process or all, where no restart would help.
        transient: those of `fatal` where one may.
        min_workers: fewest processes to run with while there is no room for all; None is all.
    Raises:
        fatal: the loop raised it.
        ConnectionError: the cluster has no room for the fewest, at a restart for MAX_NODE_WAIT_S.
        PartError: the loop failed in another way, and again after each of MAX_TRAINING_FAILURES restarts without a
            report of a further step between them; or Ray died.
    """
    use_gpu = num_gpus() > 0
    most = num_workers or max(1, num_gpus())
    least = min(min_workers or most, most)
    scaling = scale(least, most, use_gpu)
    reports, failures, leaving = Reports(on_report), _Failures(name, fatal, transient), set[str]()
    try:
        while True:
            ended, further = _run(loop, job, name, scaling, most, reports)
            wanted = most
            if isinstance(ended, ray.train.Result):
                if ended.return_value is None:
                    return
                leaving |= {*ended.return_value}
                why = "a node is leaving" if ended.return_value else "nodes came"
                wanted = most if ended.return_value else scaling.max_workers + further
                _say(name, f"goes on from its checkpoint with other workers: {why}")
            elif isinstance(getattr(ended, "controller_failure", None), WorkerGroupStartupTimeoutError):
                _say(name, f"waits for {format_wait(scaling)}")
                wanted = max(least, scaling.max_workers - 1)
            else:
                failures.add(ended, reports.step)
            scaling = _rescale(name, least, wanted, use_gpu, leaving)
    except ray.exceptions.RayError as error:
        raise PartError(name, error) from error


class _Failures:
    """Counts failures without a further step between them. Arguments as of `fit`."""

    def __init__(self, name: str, fatal: tuple[type[Exception], ...], transient: tuple[type[Exception], ...]) -> None:
        self._name, self._fatal, self._transient = name, fatal, transient
        self._count = self._furthest = 0

    def add(self, failed: Exception, step: int) -> None:
        """Count a failure after this step.

        Raises:
            fatal: a process raised it, so that no restart would help.
            PartError: it is one more than MAX_TRAINING_FAILURES.
        """
        # of all processes: where one has raised, the others may have failed by waiting for it
        causes = [*getattr(failed, "worker_failures", {}).values()]
        for cause in causes:
            if isinstance(cause, self._fatal) and not isinstance(cause, self._transient):
                raise cause
        self._count = 1 if step > self._furthest else self._count + 1
        self._furthest = max(self._furthest, step)
        if self._count > MAX_TRAINING_FAILURES:
            raise PartError(self._name, causes[0] if causes else failed) from failed


def _rescale(name: str, least: int, most: int, use_gpu: bool, leaving: set[str]) -> ScalingConfig:
    """The workers of a restart. A node may be gone: one in its place is waited for, which Ray Train would do silently.

    A training that has begun on GPUs waits for them too, rather than go on without.

    Raises:
        ConnectionError: there is no room for the fewest, for MAX_NODE_WAIT_S.
    """
    end_s = time.monotonic() + MAX_NODE_WAIT_S
    while True:
        try:
            return scale(least, most, use_gpu, leaving)
        except ConnectionError as error:
            if time.monotonic() > end_s:
                raise
            _say(name, f"waits for nodes, {end_s - time.monotonic():.0f} s at most. {error}")
            time.sleep(LOOK_EVERY_S)
            check_alive()


def _say(name: str, what: str) -> None:
    print(f"training {name}: {what}", file=sys.stderr, flush=True)


def _run(
    loop: Callable[[RayContext, dict[str, Any]], None],
    job: dict[str, Any],
    name: str,
    scaling: ScalingConfig,
    most: int,
    reports: Reports,
) -> tuple[ray.train.Result | Exception, int]:
    """Run the processes once; return how they ended, and for how many more there was room by then."""
    is_elastic = scaling.max_workers < most

    with tempfile.TemporaryDirectory(prefix="earshot-train-") as folder, reports as actor:

        def on_worker(config: dict[str, Any]) -> list[str] | None:
            context = RayContext(actor, is_elastic)
            loop(context, config)
            return context.leaving  # None: the loop has come to its end

        trainer = TorchTrainer(
            on_worker,
            train_loop_config=job,
            torch_config=TorchConfig(backend=GPU_BACKENDS if scaling.use_gpu else "gloo"),
            scaling_config=scaling,
            run_config=RunConfig(name=name, storage_path=folder, failure_config=NO_RESTARTS),
        )
        further = Further()
        try:
            return _wait(trainer, reports, scaling, most, further), further.count()
        finally:
            further.end()


def _wait(
    trainer: TorchTrainer, reports: Reports, scaling: ScalingConfig, most: int, further: Further
) -> ray.train.Result | Exception:
    """Start the processes, pass their reports on until they have ended, and return how.

    They are waited for on a thread, so that this one hears an interrupt, and that Ray has died.
    """
    outcome: list[Any] = []

    def wait() -> None:
        try:
            outcome.append(trainer.fit())
        except BaseException as error:  # noqa: BLE001  raised again below, on the main thread
            outcome.append(error)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    grow_s: float | None = None
    waits = Waits(to_stderr)
    try:
        while waiting.is_alive():
            waiting.join(POLL_S)
            check_alive()
            if is_silent():
                continue
            waits.look()
            reports.show()
            if grow_s is None and reports.has_begun:  # before, further places would take those of the workers
                grow_s = time.monotonic() + GROW_AFTER_S
            if grow_s is not None and time.monotonic() > grow_s:
                grow_s = time.monotonic() + LOOK_EVERY_S
                if further.count():
                    reports.ask_to_leave()
                else:
                    further.ask(scaling, most)
    except KeyboardInterrupt:
        ray.shutdown()  # else the processes would go on, and write checkpoints
        raise
    (ended,) = outcome
    # Ray Train's controller is an actor beside the driver, and its workers end with it: it may die as they may
    if not isinstance(ended, ray.train.Result | ray.train.TrainingFailedError | ray.exceptions.RayActorError):
        raise ended
    return ended
