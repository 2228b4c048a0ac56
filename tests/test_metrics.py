"""Metrics as a Prometheus would scrape them from a node of a real Ray, and the dashboard that draws them."""

import json
import re
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import ray

from cluster.metrics import METRICS, publish_parts, publish_training

DASHBOARD = json.loads((Path(__file__).parent.parent / "cluster" / "grafana" / "earshot.json").read_text())


def scraped() -> list[str]:
    port = ray.nodes()[0]["MetricsExportPort"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return [line for line in answer.read().decode().splitlines() if line.startswith("ray_earshot_")]


@pytest.mark.usefixtures("ray_session")
def test_what_a_step_publishes_can_be_scraped_from_the_node() -> None:
    states = {"done": 1, "running": 2, "failed": 0, "pending": 9}
    publish_parts("clips/base", "shard base", states, None, {"video_s": 40.0, "clip_bytes": 1e6})
    states |= {"done": 3, "failed": 1, "pending": 6}
    counts = {"videos no_audio": 4, "video_s": 61.25, "clip_bytes": 2.5e6}
    publish_parts("clips/base", "shard base", states, 90.5, counts)

    def show() -> None:  # again and again: Ray drops a gauge that is not set anew within two of its intervals
        publish_parts("clips/base", "shard base", states, 90.5, {"video_s": 10.0})  # a second run of this process
        publish_training("models/m", "train coincidence", 40, 700, 33.0, {"train_loss": 0.75, "clips_per_s": 120.0})

    expected = {
        ("ray_earshot_parts", 'state="done"', "3.0"),
        ("ray_earshot_parts", 'state="running"', "2.0"),
        ("ray_earshot_parts", 'state="failed"', "1.0"),
        ("ray_earshot_parts", 'state="pending"', "6.0"),
        ("ray_earshot_finished_parts_total", 'step="shard base"', "3.0"),
        ("ray_earshot_remaining_seconds", 'stage="clips/base"', "90.5"),
        ("ray_earshot_items_total", 'what="videos no_audio"', "4.0"),
        ("ray_earshot_video_seconds_total", 'stage="clips/base"', "71.25"),
        ("ray_earshot_written_bytes_total", 'stage="clips/base"', "2.5e+06"),
        ("ray_earshot_training_step", 'stage="models/m"', "40.0"),
        ("ray_earshot_training_steps", 'stage="models/m"', "700.0"),
        ("ray_earshot_remaining_seconds", 'stage="models/m"', "33.0"),
        ("ray_earshot_training_figure", 'figure="train_loss"', "0.75"),
        ("ray_earshot_training_clips_per_second", 'step="train coincidence"', "120.0"),
    }
    assert {f"ray_{name}" for name in METRICS} == {name for name, _, _ in expected}
    end = time.monotonic() + 30
    missing = expected
    while missing and time.monotonic() < end:
        show()
        time.sleep(0.2)
        lines = scraped()
        missing = {
            (name, label, value)
            for name, label, value in expected
            if not any(line.startswith(f"{name}{{") and label in line and line.endswith(f" {value}") for line in lines)
        }
    assert not missing, lines


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def test_the_dashboard_draws_every_metric_by_its_own_name_and_labels_and_no_other() -> None:
    drawn = set()
    for panel in panels():
        for target in panel["targets"]:
            for name, selector in re.findall(r"\bray_(\w+)\{([^}]*)\}", target["expr"]):
                drawn.add(name)
                used = set(re.findall(r"(\w+)\s*[=!]~?", selector)) | set(
                    re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
                )
                assert used <= {*METRICS[name][1], "SessionName"}, (panel["title"], name, used)
            assert len(re.findall(r"ray_earshot", target["expr"])) == len(re.findall(r"ray_\w+\{", target["expr"]))
    assert drawn == METRICS.keys()


def test_a_counters_rate_is_drawn_and_never_its_value() -> None:
    assert [name for name in METRICS if name.endswith("_total")]
    for panel in panels():
        for target in panel["targets"]:
            for before in re.findall(r"(\w*\(?)ray_earshot_\w+_total\{", target["expr"]):
                assert before in ("rate(", "increase("), panel["title"]


def test_the_dashboard_can_be_imported_by_grafana_11_with_a_data_source_of_its_users() -> None:
    assert 36 <= DASHBOARD["schemaVersion"] <= 39  # of Grafana 9 to 11.0: newer ones migrate what is older
    (source,) = (variable for variable in DASHBOARD["templating"]["list"] if variable["type"] == "datasource")
    assert source["query"] == "prometheus"
    own = {"type": "prometheus", "uid": f"${{{source['name']}}}"}
    assert all(panel["datasource"] == own for panel in panels())
    assert all(target["datasource"] == own for panel in panels() for target in panel["targets"])
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert DASHBOARD["id"] is None
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))  # none hides another
    assert max(x for x, _ in cells) < 24
