"""What answers at the address of a cluster, found in one request: Ray itself would try for minutes without a word."""

import json
import platform
from typing import Any

import grpc
import ray
from ray._private import ray_constants, services
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
from ray._private.grpc_utils import init_grpc_channel
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc, ray_client_pb2, ray_client_pb2_grpc

from cluster.addresses import CLIENT

# A head answers in 10 ms. Where packets are dropped, no answer ever comes.
ANSWER_S = 20.0
ALIVE_S = 5.0  # for a head that is known to be there
EXPECTED = "Expected auto on a node of the cluster, or ray://HEAD:10001 elsewhere."


def probe(address: str) -> None:
    """Make sure that a cluster which this process can join answers; an interrupt is heard meanwhile.

    Args:
        address: auto, host:port of a head, or ray://host:port.
    Raises:
        ConnectionError: none answers within ANSWER_S, it refuses the token, or runs another Ray or Python.
    """
    where = f"--address {address}"
    if address.startswith(("http://", "https://")):
        raise ConnectionError(f"{where}: that is where `ray job submit` sends jobs. {EXPECTED}")
    try:
        if address.startswith(CLIENT):
            _ask_client_server(address.removeprefix(CLIENT).rstrip("/"), ANSWER_S)
        else:
            if address == "auto":
                maybe_enable_token_auth_if_token_available(warn_if_disabled=False)  # as ray.init does for auto alone
            _ask_head(where, services.canonicalize_bootstrap_address(address))
    except grpc.RpcError as error:
        raise ConnectionError(f"{where}: {_explain(error)}") from error
    except ValueError as error:
        raise ConnectionError(f"{where}: {error}. {EXPECTED}") from error
    except ConnectionError as error:
        if str(error).startswith(where):
            raise
        raise ConnectionError(f"{where}: no Ray runs on this machine. {EXPECTED}") from error


def ask(address: str) -> str:
    """Ask the head of a cluster that this process has joined; "" if it answers, else how it does not.

    Args:
        address: host:port of the head, or ray://host:port.
    """
    try:
        if address.startswith(CLIENT):
            _ask_client_server(address.removeprefix(CLIENT).rstrip("/"), ALIVE_S)
        else:
            with _channel(address) as channel:
                asked = gcs_service_pb2.InternalKVGetRequest(namespace=b"cluster", key=b"CLUSTER_METADATA")
                gcs_service_pb2_grpc.InternalKVGcsServiceStub(channel).InternalKVGet(asked, timeout=ALIVE_S)
    except grpc.RpcError as error:
        is_silent = error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        why = (error.details() or error.code().name).rpartition(": ")[2]  # gRPC begins with all that it has tried
        return f"no answer within {ALIVE_S:.0f} s" if is_silent else why
    return ""


def _channel(host_and_port: str) -> grpc.Channel:
    return init_grpc_channel(host_and_port, ray_constants.GLOBAL_GRPC_OPTIONS)  # past any proxy for HTTP, as Ray does


def _ask_client_server(host_and_port: str, timeout_s: float) -> None:
    with _channel(host_and_port) as channel:
        ping = ray_client_pb2.ClusterInfoRequest(type=ray_client_pb2.ClusterInfoType.PING)
        stub = ray_client_pb2_grpc.RayletDriverStub(channel)
        stub.ClusterInfo(ping, timeout=timeout_s, metadata=[("client_id", "earshot")])


def _ask_head(where: str, host_and_port: str) -> None:
    with _channel(host_and_port) as channel:
        asked = gcs_service_pb2.InternalKVGetRequest(namespace=b"cluster", key=b"CLUSTER_METADATA")
        reply = gcs_service_pb2_grpc.InternalKVGcsServiceStub(channel).InternalKVGet(asked, timeout=ANSWER_S)
        check_versions(where, json.loads(reply.value or "{}"))
        nodes = gcs_service_pb2.GetAllNodeInfoRequest()
        for node_id in services.find_node_ids():  # of raylets on this machine, whatever cluster they are of
            nodes.node_selectors.add(node_id=bytes.fromhex(node_id))
        stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
        if not nodes.node_selectors or not stub.GetAllNodeInfo(nodes, timeout=ANSWER_S).node_info_list:
            raise ConnectionError(
                f"{where}: this machine is no node of that cluster, and only a node can join so. Send the command "
                "there with `ray job submit`, or give ray://HEAD:10001."
            )


def check_versions(where: str, found: dict[str, Any]) -> None:
    """Refuse a cluster of another Ray or Python: what this process sends would not be understood there.

    Args:
        where: to begin the message with.
        found: `ray_version` and `python_version` of the cluster; nothing where it does not say.
    Raises:
        ConnectionError: one is another.
    """
    own = {"ray_version": ray.__version__, "python_version": platform.python_version()}
    if any(found.get(name, version) != version for name, version in own.items()):
        raise ConnectionError(
            f"{where}: the cluster has Ray {found['ray_version']} and Python {found['python_version']}, this machine "
            f"Ray {own['ray_version']} and Python {own['python_version']}. Install the cluster's here, or send the "
            "command there with `ray job submit`."
        )


def _explain(error: grpc.RpcError) -> str:
    """What a failed request means: the state of gRPC, and what to do."""
    code, details = error.code(), error.details()
    if code == grpc.StatusCode.UNAUTHENTICATED:
        return (
            "the cluster asks for its token, and it was missing or wrong. Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN "
            "or ~/.ray/auth_token to what `ray get-auth-token` prints on the head."
        )
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return f"another port of Ray, or another program. {EXPECTED}"
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        details = f"no answer within {ANSWER_S:.0f} s"
    return f"no Ray cluster answers there ({details}). Is the head up, and its port open to this machine? {EXPECTED}"
