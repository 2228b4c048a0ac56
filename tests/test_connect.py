"""The connection to a cluster: `ray_cluster.yaml` fits Ray's own schema, and no answer is a clear refusal."""

import json
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml

from cluster.connect import PACKAGES, PROJECT, connect


def test_the_cluster_file_is_what_rays_launcher_expects() -> None:
    cluster = yaml.safe_load((PROJECT / "ray_cluster.yaml").read_text())
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(cluster, json.loads(schema.read_text()))
    kinds = cluster["available_node_types"]
    assert cluster["head_node_type"] in kinds
    assert sum(kind.get("min_workers", 0) for kind in kinds.values()) <= cluster["max_workers"]


def test_the_packages_that_travel_to_a_cluster_exist() -> None:
    assert all((PROJECT / name / "__init__.py").is_file() for name in PACKAGES)


def test_an_address_where_no_cluster_answers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def refuse(**_: object) -> None:
        raise ConnectionError("nothing there")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ConnectionError, match=r"--address 127\.0\.0\.1:1: no Ray cluster answers there"):
        connect("127.0.0.1:1")


def test_a_ray_that_does_not_start_is_one_message_with_what_was_found_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def time_out(**_: object) -> None:
        raise Exception("The current node timed out during startup.")  # as ray/_private/node.py does

    monkeypatch.setattr(ray, "init", time_out)
    expected = r"did not start on this machine: The current node timed out.*load [\d.]+ on \d+ cores.*GiB free in "
    with pytest.raises(ConnectionError, match=expected):
        connect()
    monkeypatch.setenv("RAY_TMPDIR", "/dev/null/nowhere")
    with pytest.raises(ConnectionError, match=r"no folder /dev/null/nowhere.*set RAY_TMPDIR"):
        connect()
