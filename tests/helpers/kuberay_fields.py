"""The fields of KubeRay's resources that `cluster/kuberay/` uses, with their types, as a JSON Schema.

Facts about the resource definitions (ray.io/v1) in the chart of KubeRay 1.7.0, of Kubernetes' Pod inside them, and of
batch/v1 CronJob. A field that is not here is refused, so a misspelt one is found; who uses another adds its line.
"""

from collections.abc import Iterator
from typing import Any

import jsonschema

KUBERAY = "1.7.0"
TEXT, FLAG, NUMBER = {"type": "string"}, {"type": "boolean"}, {"type": "integer"}
NAMES = {"type": "object", "additionalProperties": TEXT}
# Cores and bytes: 8, "500m", "16Gi".
AMOUNT = {"type": ["string", "integer"], "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"}
AMOUNTS = {"type": "object", "additionalProperties": AMOUNT}


def fields(required: str = "", **types: Any) -> dict[str, Any]:
    """An object of these fields and no others; `required` are names with a space between them."""
    return {"type": "object", "properties": types, "required": required.split(), "additionalProperties": False}


def items(of: Any) -> dict[str, Any]:
    """A list of what fits the schema, with at least one item."""
    return {"type": "array", "items": of, "minItems": 1}


def one_of(values: str) -> dict[str, Any]:
    """One of these words."""
    return {"enum": values.split()}


METADATA = fields(name=TEXT, generateName=TEXT, namespace=TEXT, labels=NAMES, annotations=NAMES)
RESOURCES = fields("requests limits", requests=AMOUNTS, limits=AMOUNTS)
PROBE = fields(
    "httpGet",
    httpGet=fields("port", path=TEXT, port={"type": ["integer", "string"]}),
    **dict.fromkeys(("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold"), NUMBER),
)
LOCKED = fields(allowPrivilegeEscalation=FLAG, readOnlyRootFilesystem=FLAG, capabilities=fields(drop=items(TEXT)))
VARIABLES = items(
    fields("name", name=TEXT, value=TEXT, valueFrom=fields(secretKeyRef=fields("key", name=TEXT, key=TEXT)))
)
MOUNTS = items(fields("name mountPath", name=TEXT, mountPath=TEXT))
CONTAINER = fields(
    "name",
    **{"name": TEXT, "image": TEXT, "command": items(TEXT), "args": items(TEXT), "env": VARIABLES},
    envFrom=items(fields(secretRef=fields("name", name=TEXT))),
    ports=items(fields("containerPort", name=TEXT, containerPort=NUMBER)),
    **{"resources": RESOURCES, "securityContext": LOCKED, "volumeMounts": MOUNTS},
    **{"readinessProbe": PROBE, "livenessProbe": PROBE},
)
EMPTY = fields(medium=one_of("Memory"), sizeLimit=AMOUNT)
POD = fields(
    "containers",
    **{"restartPolicy": one_of("Always Never OnFailure"), "automountServiceAccountToken": FLAG},
    terminationGracePeriodSeconds=NUMBER,
    securityContext=fields(
        **{"runAsNonRoot": FLAG, "runAsUser": NUMBER, "runAsGroup": NUMBER, "fsGroup": NUMBER},
        seccompProfile=fields("type", type=one_of("RuntimeDefault Unconfined Localhost")),
    ),
    tolerations=items(fields(key=TEXT, operator=one_of("Exists Equal"), value=TEXT, effect=TEXT)),
    containers=items(CONTAINER),
    volumes=items(fields("name", name=TEXT, emptyDir=EMPTY)),
)
TEMPLATE = fields("spec", metadata=METADATA, spec=POD)
GROUP = {"rayStartParams": NAMES, "labels": NAMES, "template": TEMPLATE}
CLUSTER = fields(
    "headGroupSpec",
    rayVersion=TEXT,
    authOptions=fields(mode=one_of("disabled token"), secretName=TEXT),
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=fields(
        **{"version": one_of("v1 v2"), "upscalingMode": one_of("Default Aggressive Conservative")},
        **{"idleTimeoutSeconds": NUMBER, "resources": RESOURCES, "securityContext": LOCKED},
        **{"env": VARIABLES, "volumeMounts": MOUNTS},
    ),
    headGroupSpec=fields("template", **GROUP),
    workerGroupSpecs=items(
        fields(
            "groupName minReplicas maxReplicas template",
            **{"groupName": TEXT, "replicas": NUMBER, "minReplicas": NUMBER, "maxReplicas": NUMBER, **GROUP},
        )
    ),
)
DELETION = fields(
    "policy condition",
    policy=one_of("DeleteCluster DeleteWorkers DeleteSelf DeleteNone"),
    condition=fields(jobStatus=one_of("SUCCEEDED FAILED"), ttlSeconds=NUMBER),
)
# A job on a running cluster. Beside a selector the operator refuses backoffLimit, shutdownAfterJobFinishes with a TTL,
# suspend, and deletion of the cluster or its workers; so these are not among the fields.
JOB = fields(
    "clusterSelector entrypoint",
    **{"clusterSelector": NAMES, "entrypoint": TEXT},
    deletionStrategy=fields("deletionRules", deletionRules=items(DELETION)),
)
KINDS = {
    ("ray.io/v1", "RayCluster"): CLUSTER,
    ("ray.io/v1", "RayJob"): JOB,
    ("ray.io/v1", "RayCronJob"): fields("schedule jobTemplate", schedule=TEXT, timeZone=TEXT, jobTemplate=JOB),
    ("batch/v1", "CronJob"): fields(
        "schedule jobTemplate",
        **{"schedule": TEXT, "timeZone": TEXT, "concurrencyPolicy": one_of("Allow Forbid Replace")},
        **{"successfulJobsHistoryLimit": NUMBER, "failedJobsHistoryLimit": NUMBER},
        jobTemplate=fields("spec", spec=fields("template", backoffLimit=NUMBER, template=TEMPLATE)),
    ),
}


def errors(resource: dict[str, Any]) -> Iterator[str]:
    """`spec/rayVersion: 2 is not of type 'string'` for everything that does not fit the resource's definition."""
    spec = KINDS[resource["apiVersion"], resource["kind"]]
    whole = fields("apiVersion kind metadata spec", apiVersion=TEXT, kind=TEXT, metadata=METADATA, spec=spec)
    for error in jsonschema.Draft202012Validator(whole).iter_errors(resource):
        yield f"{'/'.join(map(str, error.path))}: {error.message}"
