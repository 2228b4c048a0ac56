"""What answers at an address, in one request: real gRPC on loopback, and heads that refuse or are of another Ray."""

import json
import platform
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import ray
from ray._private import services
from ray.core.generated import gcs_pb2, gcs_service_pb2, gcs_service_pb2_grpc

from cluster import probing
from cluster.probing import probe

OWN = {"ray_version": ray.__version__, "python_version": platform.python_version()}
Head = Callable[..., str]


class Versions(gcs_service_pb2_grpc.InternalKVGcsServiceServicer):
    """A head that says its versions, or refuses."""

    def __init__(self, found: dict[str, str], code: grpc.StatusCode) -> None:
        self._found, self._code = found, code

    def InternalKVGet(self, request: object, context: grpc.ServicerContext) -> object:
        context.set_code(self._code)
        return gcs_service_pb2.InternalKVGetReply(value=json.dumps(self._found).encode())


class Nodes(gcs_service_pb2_grpc.NodeInfoGcsServiceServicer):
    """A head whose nodes are those given."""

    def __init__(self, ids: set[str]) -> None:
        self._ids = ids

    def GetAllNodeInfo(self, request: object, context: object) -> object:
        asked = {selector.node_id.hex() for selector in request.node_selectors}  # type: ignore[attr-defined]
        found = [gcs_pb2.GcsNodeInfo(node_id=bytes.fromhex(name)) for name in asked & self._ids]
        return gcs_service_pb2.GetAllNodeInfoReply(node_info_list=found)


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[Head]:
    """head(versions, code, nodes) -> the address of one."""
    monkeypatch.setattr(services, "find_node_ids", lambda: {"aa" * 28})
    monkeypatch.setattr(services, "canonicalize_bootstrap_address", lambda address: address)
    servers = []

    def start(
        found: dict[str, str] = OWN, code: grpc.StatusCode = grpc.StatusCode.OK, nodes: tuple[str, ...] = ("aa" * 28,)
    ) -> str:
        server = grpc.server(ThreadPoolExecutor(1))
        gcs_service_pb2_grpc.add_InternalKVGcsServiceServicer_to_server(Versions(found, code), server)
        gcs_service_pb2_grpc.add_NodeInfoGcsServiceServicer_to_server(Nodes(set(nodes)), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(None)


def refusal(address: str) -> str:
    with pytest.raises(ConnectionError) as caught:
        probe(address)
    assert str(caught.value).startswith(f"--address {address}: ")
    return str(caught.value)


def test_a_head_that_has_this_machine_as_a_node_is_joined(head: Head) -> None:
    probe(head())
    probe(head(found={}))  # a head that does not say


def test_a_cluster_of_another_ray_or_python_is_refused_with_all_four_versions(head: Head) -> None:
    for found in (OWN | {"ray_version": "2.9.3"}, OWN | {"python_version": "3.10.1"}):
        message = refusal(head(found))
        assert f"Ray {found['ray_version']} and Python {found['python_version']}, this machine " in message
        assert f"Ray {OWN['ray_version']} and Python {OWN['python_version']}. Install" in message


def test_a_missing_or_wrong_token_is_said_with_how_to_give_it(head: Head) -> None:
    assert "Set RAY_AUTH_MODE=token" in refusal(head(code=grpc.StatusCode.UNAUTHENTICATED))


def test_a_machine_that_is_no_node_of_the_cluster_is_told_how_to_reach_it(head: Head) -> None:
    assert "this machine is no node of that cluster" in refusal(head(nodes=("bb" * 28,)))


def test_a_port_of_another_service_of_ray_is_refused_either_way(head: Head) -> None:
    assert "another port of Ray" in refusal(f"ray://{head()}")
    assert "another port of Ray" in refusal(head(code=grpc.StatusCode.UNIMPLEMENTED))


def test_nothing_there_is_refused_at_once_and_silence_after_the_time_to_answer(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed, socket.socket() as silent:
        for taken in (closed, silent):
            taken.bind(("127.0.0.1", 0))
        silent.listen()
        assert "no Ray cluster answers there" in refusal(address_of(closed))
        assert "Connection refused" in refusal(f"ray://{address_of(closed)}")
        monkeypatch.setattr(probing, "ANSWER_S", 0.2)
        assert "no answer within 0 s" in refusal(address_of(silent))


def address_of(bound: socket.socket) -> str:
    return f"127.0.0.1:{bound.getsockname()[1]}"


def test_an_address_of_no_known_form_is_refused_with_the_forms() -> None:
    for address in ("", "http://head:8265", "host"):
        assert "Expected auto on a node of the cluster, or ray://HEAD:10001" in refusal(address)
