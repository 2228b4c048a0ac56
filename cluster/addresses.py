"""Which cluster a command uses. Without Ray, whose import takes a second."""

import os

CLIENT = "ray://"  # of Ray Client, for a driver outside of the cluster
JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # the name itself: Ray sets it for the entrypoint of a job


def cluster_address(address: str | None) -> str | None:
    """The address of the cluster to use; None where Ray is to start on this machine.

    Ray lets RAY_ADDRESS go before `auto`, and sets it in a job, where it needs no --address. Elsewhere RAY_ADDRESS
    alone does not send a command to a cluster.
    """
    if address == "auto" or (address is None and JOB_CONFIG in os.environ):
        return os.environ.get("RAY_ADDRESS") or "auto"
    return address
