"""Ctrl-C while models are trained, and after: Ray Train takes the signal where `fit` is called on the main thread."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import ray
import ray.train

from cluster import training
from cluster.worker_count import Further
from jobs.cli import main


class Trainer:
    """What Ray Train's does to signals (ray/train/v2/api/data_parallel_trainer.py), and no training."""

    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended

    def fit(self) -> ray.train.Result:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, lambda *_: None)
        self._ended.wait(10)
        return ray.train.Result(None, None, None, "")


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Set once the training processes are gone."""
    event = threading.Event()
    monkeypatch.setattr(ray, "shutdown", event.set)
    monkeypatch.setattr(training, "check_alive", lambda: None)
    monkeypatch.setattr(training, "Waits", lambda say: SimpleNamespace(look=lambda: None))  # they would start a Ray
    monkeypatch.setattr(training, "POLL_S", 0.01)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield event
    signal.signal(signal.SIGINT, before)


def train(ended: threading.Event) -> None:
    reports = SimpleNamespace(show=lambda: None, has_begun=False)
    training._wait(Trainer(ended), reports, ray.train.ScalingConfig(), 1, Further())


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)


def test_an_interrupt_ends_training_and_its_processes_and_says_how_to_go_on(
    ended: threading.Event, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "check_alive", interrupt)
    monkeypatch.setattr("pipeline.storage.workspace.open_workspace", lambda root: train(ended))
    assert main(["query", "--root", "R", "SELECT 1"]) == 130
    assert capfd.readouterr().err == "earshot: stopped. The same command goes on from here.\n"
    assert ended.is_set()


def test_an_interrupt_is_heard_by_the_stages_that_follow_training(
    ended: threading.Event, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def train_and_go_on(root: str) -> None:
        ended.set()
        train(ended)
        interrupt()

    monkeypatch.setattr("pipeline.storage.workspace.open_workspace", train_and_go_on)
    assert main(["query", "--root", "R", "SELECT 1"]) == 130
    assert capfd.readouterr().err == "earshot: stopped. The same command goes on from here.\n"
