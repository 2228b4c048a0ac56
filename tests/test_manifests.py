"""How clusters come up: `ray_cluster.yaml` and `cluster/kuberay/` against Ray, AWS, KubeRay and what stages need.

No cloud is asked. What a machine of AWS has is known from moto, what a request may hold from botocore, the options of
`ray` from its command line, the fields of KubeRay from `tests/helpers/kuberay_fields.py`.
"""

import copy
import dataclasses
import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import ray.scripts.scripts
import yaml
from botocore.validate import ParamValidator
from moto.utilities.utils import load_resource
from ray.autoscaler._private.util import prepare_config, validate_config

from cluster import resources
from cluster.gpu_nodes import LABEL
from cluster.resources import EVALUATING, GIB, SCORING, SHARDING, WorkerResources
from jobs.console.lazy_commands import load
from pipeline import VERSION
from tests.helpers.kuberay_fields import errors

ROOT = Path(__file__).parent.parent
INSTANCE_TYPES = load_resource("ec2/resources/instance_types.json")  # to import moto.ec2 takes each test process 1 s
AWS = ROOT / "ray_cluster.yaml"
KUBERNETES = ROOT / "cluster" / "kuberay"
PAGE = ROOT / "cluster" / "README.md"
STAGES = [value for value in vars(resources).values() if isinstance(value, WorkerResources)]
OBJECT_STORE_BYTES = 10**9
SYSTEM_BYTES = 2 * GIB  # of a node, for the operating system, Ray's own processes and what workers share
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
UNITS = {"": 1, "m": 1e-3, "Mi": 2**20, "Gi": 2**30}


@functools.cache
def aws() -> dict[str, Any]:
    """The cluster file. Read it only."""
    return yaml.safe_load(AWS.read_text())


def node_types() -> dict[str, Any]:
    return aws()["available_node_types"]


@functools.cache
def manifests() -> dict[str, dict[str, Any]]:
    """Every resource of `cluster/kuberay/` by its file's name. Read it only."""
    read = {path.name: yaml.safe_load(path.read_text()) for path in sorted(KUBERNETES.glob("*.yaml"))}
    return {name: resource for name, resource in read.items() if resource["kind"] != "Kustomization"}


def cluster() -> dict[str, Any]:
    return manifests()["raycluster.yaml"]["spec"]


def pods() -> dict[str, dict[str, Any]]:
    """Every pod that the manifests describe, by its group's name."""
    nightly = manifests()["nightly-plain.yaml"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    groups = {group["groupName"]: group["template"]["spec"] for group in cluster()["workerGroupSpecs"]}
    return {"head": cluster()["headGroupSpec"]["template"]["spec"], **groups, "nightly": nightly}


def amount(text: str | int) -> float:
    """Cores or bytes of a Kubernetes quantity: "500m" is 0.5, "2Gi" is 2**31."""
    number, unit = re.fullmatch(r"([0-9.]+)(\D*)", str(text)).groups()
    return float(number) * UNITS[unit]


@dataclasses.dataclass(frozen=True)
class Node:
    """What a node of a kind has, and what it offers to workers."""

    has: tuple[float, float, float]
    """CPUs, bytes of memory, GPUs."""
    offers: tuple[float, float, float]


def nodes() -> dict[str, Node]:
    """Every kind of node that workers run on."""
    found = {}
    for name, kind in node_types().items():
        if name != aws()["head_node_type"]:
            machine, offered = INSTANCE_TYPES[kind["node_config"]["InstanceType"]], kind["resources"]
            num_gpus = sum(gpu["Count"] for gpu in machine.get("GpuInfo", {}).get("Gpus", []))
            has = (machine["VCpuInfo"]["DefaultVCpus"], machine["MemoryInfo"]["SizeInMiB"] * 2**20, num_gpus)
            found[f"aws {name}"] = Node(has, (offered["CPU"], offered["memory"], offered.get("GPU", 0)))
    for group in cluster()["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        cpus, memory, gpus = (amount(limits.get(name, 0)) for name in ("cpu", "memory", "nvidia.com/gpu"))
        # the operator tells Ray of the container's CPUs and GPUs
        offers = (cpus, int(group["rayStartParams"]["memory"]), gpus)
        found[f"kuberay {group['groupName']}"] = Node((cpus, memory, gpus), offers)
    return found


@pytest.mark.parametrize("node", nodes().values(), ids=nodes())
def test_a_node_has_what_it_offers_and_room_for_what_is_no_worker(node: Node) -> None:
    (cpus, memory, gpus), (offered_cpus, offered_memory, offered_gpus) = node.has, node.offers
    assert (offered_cpus, offered_gpus) == (cpus, gpus)
    assert offered_memory + OBJECT_STORE_BYTES + SYSTEM_BYTES <= memory


@pytest.mark.parametrize("node", nodes().values(), ids=nodes())
def test_a_nodes_cpus_and_memory_hold_whole_workers_of_every_stage(node: Node) -> None:
    cpus, memory, gpus = node.offers
    for needs in STAGES:
        assert cpus % needs.num_cpus == 0
        assert memory % needs.memory_bytes == 0
    assert memory >= cpus * SHARDING.memory_bytes  # all cores cut
    assert memory >= 0.8 * cpus * SCORING.memory_bytes  # and nearly all score, where no GPU is
    for needs in (SCORING, EVALUATING):  # one for each GPU
        assert gpus * needs.num_cpus <= cpus
        assert gpus * needs.memory_bytes <= memory


def test_the_nodes_are_one_kind_without_and_one_with_gpus_each_way() -> None:
    assert {name: node.offers[2] > 0 for name, node in nodes().items()} == {
        "aws cutter": False,
        "aws trainer": True,
        "kuberay cutter": False,
        "kuberay trainer": True,
    }


def test_the_cluster_file_is_what_rays_launcher_takes() -> None:
    config = prepare_config(copy.deepcopy(aws()))
    validate_config(config)
    assert config["setup_commands"] == []  # Ray's default installs its nightly build
    assert config["head_setup_commands"] == config["worker_setup_commands"] == ["cluster/install.sh cpu ~/venv"]
    assert config["available_node_types"]["trainer"]["worker_setup_commands"] == ["cluster/install.sh gpu ~/venv"]


def test_aws_takes_every_node_of_the_cluster_file() -> None:
    shape = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    for name, kind in node_types().items():
        request = kind["node_config"] | {"MinCount": 1, "MaxCount": 1}
        assert not ParamValidator().validate(request, shape).has_errors(), name
        assert re.search(r"resolve:ssm:/aws/service/.*ubuntu.*24\.04", request["ImageId"]), name
        assert request["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] >= 50, name


def test_workers_reach_the_bucket_come_when_work_waits_and_may_be_taken_away() -> None:
    kinds = dict(node_types())
    head = kinds.pop(aws()["head_node_type"])
    assert (head["resources"], head["node_config"].get("InstanceMarketOptions")) == ({"CPU": 0}, None)
    assert {kind["node_config"]["IamInstanceProfile"]["Name"] for kind in kinds.values()} == {"earshot-worker"}
    assert {kind["node_config"]["InstanceMarketOptions"]["MarketType"] for kind in kinds.values()} == {"spot"}
    assert {kind["min_workers"] for kind in kinds.values()} == {0}
    assert sum(kind["max_workers"] for kind in kinds.values()) == aws()["max_workers"]
    assert cluster()["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert {group["minReplicas"] for group in cluster()["workerGroupSpecs"]} == {0}


def test_nodes_of_the_cluster_file_get_what_the_installer_reads_and_the_token() -> None:
    mounts = aws()["file_mounts"]
    for name in ("cluster/install.sh", "pyproject.toml", "constraints.txt", "pipeline/media/face_files.py"):
        assert mounts[f"~/{name}"] == name
        assert (ROOT / name).is_file()
    assert mounts["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("RAY_AUTH_MODE=token" in command for command in aws()["initialization_commands"])


@pytest.mark.parametrize("name", manifests())
def test_kubernetes_takes_every_manifest(name: str) -> None:
    assert list(errors(manifests()[name])) == []
    assert manifests()[name]["metadata"]["namespace"] == "earshot"


def test_a_misspelt_a_missing_and_a_wrongly_typed_field_are_found() -> None:
    resource = copy.deepcopy(manifests()["raycluster.yaml"])
    group = resource["spec"]["workerGroupSpecs"][0]
    group["minReplica"] = group.pop("minReplicas")
    resource["spec"]["rayVersion"] = 2
    place = "spec/workerGroupSpecs/0"
    assert sorted(error.split(" (")[0] for error in errors(resource)) == [
        "spec/rayVersion: 2 is not of type 'string'",
        f"{place}: 'minReplicas' is a required property",
        f"{place}: Additional properties are not allowed",
    ]


def test_every_job_runs_on_the_cluster_and_the_two_nightly_ones_do_the_same() -> None:
    jobs = {name: manifest["spec"] for name, manifest in manifests().items() if manifest["kind"] != "RayCluster"}
    chosen = [
        job.get("jobTemplate", job)["clusterSelector"] for name, job in jobs.items() if name != "nightly-plain.yaml"
    ]
    assert chosen == [{"ray.io/cluster": manifests()["raycluster.yaml"]["metadata"]["name"]}] * 6
    alpha, plain = jobs["nightly.yaml"], jobs["nightly-plain.yaml"]
    submit = plain["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert submit["args"] == shlex.split(alpha["jobTemplate"]["entrypoint"])
    assert (alpha["schedule"], alpha["timeZone"]) == (plain["schedule"], plain["timeZone"])
    assert "http://earshot-head-svc:8265" in submit["command"]  # the operator's name for the head of `earshot`


@pytest.mark.parametrize("name", pods())
def test_no_pod_needs_a_privilege_and_each_may_write_where_it_must_and_nowhere_else(name: str) -> None:
    pod = pods()[name]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 1000  # the Dockerfile's
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    volumes = {volume["name"]: volume["emptyDir"] for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert variables["HOME"] == "/tmp"
    assert "/tmp" in mounts
    if name != "nightly":  # Ray's object store lies in memory
        assert mounts["/dev/shm"]["medium"] == "Memory"
        assert amount(mounts["/dev/shm"]["sizeLimit"]) >= OBJECT_STORE_BYTES
        assert {probe["httpGet"]["path"] for probe in (container["readinessProbe"], container["livenessProbe"])} == {
            "/api/healthz"
        }
        assert container["envFrom"] == [{"secretRef": {"name": "earshot-s3"}}]
    assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]


def test_every_way_in_asks_for_the_token() -> None:
    secret = {"mode": "token", "secretName": "earshot-ray"}
    assert cluster()["authOptions"] == secret
    (submit,) = pods()["nightly"]["containers"]
    variables = {variable["name"]: variable for variable in submit["env"]}
    assert variables["RAY_AUTH_MODE"]["value"] == "token"
    token = variables["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert token == {"name": secret["secretName"], "key": "auth_token"}
    (start,) = [command for command in aws()["head_start_ray_commands"] if "ray start" in command]
    assert "--dashboard-host=127.0.0.1" in start


def test_images_are_those_of_the_dockerfile_and_nodes_with_gpus_have_the_one_for_them() -> None:
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    images = {f"{image['name']}:{image['newTag']}" for image in kustomization["images"]}
    dockerfile = (ROOT / "cluster" / "Dockerfile").read_text()
    built = set(re.findall(r"--tag (\S+)", dockerfile))
    used = {name: pod["containers"][0]["image"] for name, pod in pods().items()}
    assert set(used.values()) == images == built
    assert {name: "gpu" in image for name, image in used.items()} == {name: name == "trainer" for name in used}
    assert {image.rpartition(":")[2] for image in built} == {VERSION}


def test_the_ray_of_the_manifests_is_the_one_that_is_installed_there() -> None:
    assert cluster()["rayVersion"] == PINS["ray"] == ray.__version__


def commands() -> Iterator[tuple[str, str]]:
    """(where, command line) of every `earshot` and `ray` command that the manifests and their page hold."""
    for name, manifest in manifests().items():
        if "entrypoint" in (job := manifest["spec"].get("jobTemplate", manifest["spec"])):
            yield name, job["entrypoint"]
    (submit,) = pods()["nightly"]["containers"]
    yield "nightly-plain.yaml", shlex.join(submit["command"] + submit["args"])
    for line in aws()["head_start_ray_commands"] + aws()["worker_start_ray_commands"]:
        yield AWS.name, line.rpartition("; ")[2]
    for block in bash_blocks():
        for line in block.replace("\\\n", "").splitlines():
            if line.startswith("ray "):
                yield PAGE.name, line.partition(" >/dev/null")[0]
    for line in re.findall(r"`(ray [^`]+)`", PAGE.read_text()):
        yield PAGE.name, line


def bash_blocks() -> list[str]:
    return re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize(("where", "line"), sorted(set(commands())))
def test_every_command_of_the_manifests_and_their_page_parses(where: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "ray":
        command: Any = ray.scripts.scripts.cli
        words = words[1:]
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context("ray", list(words))
        words = words[words.index("--") + 1 :] if "--" in words else []
    for program in (["earshot"], ["python", "-m", "jobs.cli"]):
        if words[: len(program)] == program:
            name, *arguments = words[len(program) :]
            load(name).make_context(name, arguments)


def test_the_head_promises_the_gpus_of_one_node_which_training_waits_for() -> None:
    promised = cluster()["headGroupSpec"]["labels"][LABEL]
    assert f"--labels={LABEL}={promised}" in " ".join(aws()["head_start_ray_commands"])
    assert {node.offers[2] for node in nodes().values()} == {0, int(promised)}


def test_the_page_shows_each_way_in_four_commands() -> None:
    for first, last in (("ray up ", "ray down "), ("kubectl apply ", "kubectl delete ")):
        (block,) = [block for block in bash_blocks() if block.startswith(first)]
        lines = block.replace("\\\n", "").splitlines()
        assert (len(lines), lines[-1].startswith(last)) == (4, True)
