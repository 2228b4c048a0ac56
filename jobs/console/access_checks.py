"""From what was tried at a root to findings: pure functions; what must be allowed is named as AWS names it."""

from collections.abc import Iterator

from jobs.console.findings import OK, PROBLEM, WARNING, Finding
from jobs.console.machine_checks import compare_clocks
from pipeline.storage.access import CREATE, DELETE, LIST, REACH, READ, REFUSE, WRITE, Access

ACTIONS = {
    WRITE: "s3:PutObject",
    READ: "s3:GetObject",
    CREATE: "s3:PutObject",
    LIST: "s3:ListBucket",
    DELETE: "s3:DeleteObject",
}
SAME_FOR_ALL = "Choose a root that every node can reach, such as s3://bucket/prefix."


def check_root(access: Access, node: str) -> Iterator[Finding]:
    """Findings of one node, or of the driver, at a root."""
    where, uri, refused = (node,), access["uri"], access["refused"]
    is_s3 = uri.startswith("s3://")
    if REACH in refused:
        remedy = "Check AWS_ENDPOINT_URL, the bucket's name, and the network of this node."
        yield Finding(PROBLEM, "root", f"{uri} cannot be used: {refused[REACH].rstrip('.')}", remedy, where)
        return
    denied = {step: error for step, error in refused.items() if step != REFUSE}
    if denied:
        actions = ", ".join(dict.fromkeys(ACTIONS[step] for step in denied))
        remedy = (
            f"Allow {actions} on the bucket to this node's credentials or instance profile."
            if is_s3
            else "Give the user of this process the right to write there, mount it writable, or choose another root."
        )
        text = f"{uri}: no right to {', '.join(denied)} ({next(iter(denied.values())).rstrip('.')})"
        yield Finding(PROBLEM, "root", text, remedy, where)
    if REFUSE in refused:
        remedy = (
            "Use a store that honours If-None-Match, as AWS, Ceph and MinIO do. On this one start no second command on "
            "a root while one works."
        )
        yield Finding(PROBLEM, "root", f"{uri}: {REFUSE}: {refused[REFUSE]}", remedy, where)
    if access["clock_ahead_s"] is not None:
        remedy = "Let this node, and the store, follow a time server (chrony, ntpd)."
        refusal = "which refuses signatures that are 15 minutes old"
        yield from compare_clocks(access["clock_ahead_s"], f"the clock of {uri}", refusal, remedy, where)
    if not refused:
        tried = "write, read, create if absent, list and delete" if is_s3 else "write, read, create, list and delete"
        yield Finding(OK, "root", f"{uri}: {tried} work", nodes=where)


def check_bucket(access: Access) -> Iterator[Finding]:
    """Findings about the bucket's own settings, which are the same from everywhere."""
    remedy = "docs/cluster.md, section S3, has a rule for the bucket."
    if access["leaves_versions"] and not access["drops_old_locks"]:
        text = f"{access['uri']}: the bucket keeps versions, also those of locks: 180 an hour while a stage works"
        yield Finding(WARNING, "bucket", text, f"Allow s3:DeleteObjectVersion below .locks/ of the root, or: {remedy}")
    if access["drops_uploads"] is False:
        text = f"{access['uri']}: no rule removes the parts of uploads that were never completed, and they are paid for"
        yield Finding(WARNING, "bucket", text, remedy)


def check_reading(uri: str, error: str, node: str) -> Finding:
    """Whether a video of the collection can be read from a node."""
    if not error:
        return Finding(OK, "collection", f"{uri} can be read", nodes=(node,))
    remedy = (
        "Allow s3:GetObject and s3:ListBucket on it to this node's credentials or instance profile."
        if uri.startswith("s3://")
        else "Mount its folder under the same path on every node, or put the collection on s3://."
    )
    return Finding(PROBLEM, "collection", f"the first video cannot be read: {error.rstrip('.')}", remedy, (node,))
