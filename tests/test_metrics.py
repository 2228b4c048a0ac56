"""Metrics as a Prometheus would scrape them from a node of a real Ray."""

import time
import urllib.request

import pytest
import ray

from cluster.metrics import publish


def scraped() -> list[str]:
    port = ray.nodes()[0]["MetricsExportPort"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return [line for line in answer.read().decode().splitlines() if line.startswith("ray_earshot_")]


@pytest.mark.usefixtures("ray_session")
def test_what_a_stage_publishes_can_be_scraped_from_the_node() -> None:
    publish("shard", 3, 12, 90.5, {"videos no_audio": 4, "video_s": 61.25})
    expected = {
        ("ray_earshot_parts_done", 'stage="shard"', "3.0"),
        ("ray_earshot_parts_total", 'stage="shard"', "12.0"),
        ("ray_earshot_seconds_to_go", 'stage="shard"', "90.5"),
        ("ray_earshot_items", 'what="videos no_audio"', "4.0"),
        ("ray_earshot_items", 'what="video_s"', "61.25"),
    }
    end = time.monotonic() + 30
    missing = expected
    while missing and time.monotonic() < end:
        time.sleep(0.2)
        lines = scraped()
        missing = {
            (name, tag, value)
            for name, tag, value in expected
            if not any(line.startswith(f"{name}{{") and tag in line and line.endswith(f" {value}") for line in lines)
        }
    assert not missing
