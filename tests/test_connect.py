"""The connection to a cluster: the code that travels, jobs, refusals; `ray_cluster.yaml` fits Ray's own schema."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml

from cluster import connect as connecting
from cluster.addresses import JOB_CONFIG
from cluster.connect import PACKAGES, PROJECT, connect
from cluster.faults import StartError


def test_the_cluster_file_is_what_rays_launcher_expects() -> None:
    cluster = yaml.safe_load((PROJECT / "ray_cluster.yaml").read_text())
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(cluster, json.loads(schema.read_text()))
    kinds = cluster["available_node_types"]
    assert cluster["head_node_type"] in kinds
    assert sum(kind.get("min_workers", 0) for kind in kinds.values()) <= cluster["max_workers"]


def test_the_packages_that_travel_to_a_cluster_exist() -> None:
    assert all((PROJECT / name / "__init__.py").is_file() for name in PACKAGES)


def test_a_cluster_that_answers_and_refuses_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise RuntimeError("no room for a driver")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(connecting, "probe", lambda address: None)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ConnectionError, match=r"--address h:1: its head answers, .* not connect: no room for a driver"):
        connect("h:1")


def test_a_job_uses_the_cluster_that_it_runs_on_and_its_environment_may_have_a_working_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[dict] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(connecting, "probe", lambda address: None)
    monkeypatch.setattr(connecting, "_watch", lambda address: None)
    monkeypatch.setattr(ray, "init", lambda **options: given.append(options))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    connect()  # RAY_ADDRESS alone is no wish to leave this machine
    monkeypatch.setenv(JOB_CONFIG, '{"runtime_env": {"working_dir": "gcs://a.zip"}}')
    connect()
    connect("auto")
    monkeypatch.setenv(JOB_CONFIG, '{"runtime_env": {"py_modules": ["gcs://b.zip"]}}')
    connect()
    assert [options["address"] for options in given] == ["local", *["10.0.0.1:6379"] * 3]
    code = {"py_modules": [str(PROJECT / name) for name in PACKAGES]}
    assert [options.get("runtime_env") for options in given] == [None, code, code, {}]


def test_workers_of_a_cluster_get_the_variables_that_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict] = []
    monkeypatch.setattr(connecting, "probe", lambda address: None)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(connecting, "_watch", lambda address: None)
    monkeypatch.setattr(ray, "init", lambda **options: given.append(options["runtime_env"]))
    connect("10.0.0.1:6379")
    connect("10.0.0.1:6379", environment={"A": "1"})
    assert [environment.get("env_vars") for environment in given] == [None, {"A": "1"}]
    assert given[0]["py_modules"] == given[1]["py_modules"]


def test_a_signal_while_ray_connects_is_an_interrupt_and_not_rays_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(**_: object) -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(15))  # as ray.init does
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", end)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        connect()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_ray_that_does_not_start_is_one_message_with_what_was_found_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def time_out(**_: object) -> None:
        raise Exception("The current node timed out during startup.")  # as ray/_private/node.py does

    monkeypatch.setattr(ray, "init", time_out)
    expected = r"did not start on this machine: The current node timed out.*load [\d.]+ on \d+ cores.*GiB free in "
    with pytest.raises(StartError, match=expected):
        connect()
    monkeypatch.setenv("RAY_TMPDIR", "/dev/null/nowhere")
    with pytest.raises(ConnectionError, match=r"no folder /dev/null/nowhere.*set RAY_TMPDIR") as caught:
        connect()
    assert not isinstance(caught.value, StartError)  # which a scheduler would try again for ever
