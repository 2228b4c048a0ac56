"""A function on every node of a real Ray: its answer, or why there is none."""

import time

import pytest
import ray

from cluster.every_node import ask_every_node

pytestmark = pytest.mark.usefixtures("ray_session")


def test_each_node_answers_with_what_ray_counts_of_it_and_when() -> None:
    (answer,) = ask_every_node(lambda resources: (resources["CPU"], time.time()), timeout_s=600)
    num_cpus, at_s = answer.result
    assert num_cpus == answer.resources["CPU"] == ray.cluster_resources()["CPU"]
    assert answer.asked_s <= at_s <= answer.answered_s
    assert answer.error == ""
    assert answer.node == ray.nodes()[0]["NodeManagerAddress"]


def test_a_node_on_which_the_function_fails_or_does_not_end_has_an_error() -> None:
    (failed,) = ask_every_node(lambda resources: 1 / 0, timeout_s=600)
    assert (failed.result, failed.error) == (None, "ZeroDivisionError: division by zero")
    (late,) = ask_every_node(lambda resources: time.sleep(60), timeout_s=0.1)
    assert (late.result, late.error) == (None, "no answer in 0.1 s")
