"""What a machine is: versions, limits, room and GPUs, as plain facts. Judged by `jobs/console/node_checks.py`."""

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict

from cluster.connect import PACKAGES

# What pyproject.toml names: a worker imports nearly all of it, and what it computes depends on it.
DISTRIBUTIONS = (
    "ray", "torch", "numpy", "pyarrow", "pandas", "pydantic", "webdataset", "ffmpeg-python", "imageio-ffmpeg", "boto3",
    "soundfile", "simplejpeg", "scikit-learn", "scipy", "tensorboard", "duckdb", "rich", "typer", "jinja2", "h5py",
    "pillow", "ai-edge-litert", "aiohttp", "cbor2", "http-sf", "httptools", "silero-vad",
)  # fmt: skip
SHARED_MEMORY = Path("/dev/shm")


class Room(TypedDict):
    """Room of a filesystem, in bytes."""

    path: str
    free_bytes: int
    total_bytes: int


class MachineFacts(TypedDict):
    """One machine, or one node of a cluster as a worker on it sees it."""

    python: str
    packages: dict[str, str]
    """Version by distribution; a distribution that is not there is left out."""
    code: str
    """Hash of Earshot's own source as it would be imported."""
    time_s: float
    """The machine's clock, in seconds since 1970."""
    open_files: int | None
    """Files that a process may open (`ulimit -n`); None for no limit."""
    processes: int | None
    """Processes and threads that its user or its container may have; None for no limit."""
    memory_bytes: int
    """Of the machine, or of the container if that is less."""
    shared_memory: Room | None
    rooms: dict[str, Room]
    """By what is kept there: temporary files, Ray's files, and what the caller named."""
    gpus: list[str]
    """Names of those that torch sees; only where it was asked."""
    gpu_error: str
    """Why torch computes on none of them; "" where it does or was not asked."""


def measure(asks_torch: bool = False, folders: Mapping[str, str] = MappingProxyType({})) -> MachineFacts:
    """The facts of this machine.

    Args:
        folders: further ones whose room is wanted, by what is kept there.
        asks_torch: import torch, and compute on each GPU that it sees.
    """
    import ray

    places = {"temporary files": Path(tempfile.gettempdir()), "Ray's files": _ray_folder()}
    places |= {what: Path(folder) for what, folder in folders.items()}
    packages = {name: version for name in DISTRIBUTIONS if (version := _version(name)) is not None}
    packages["ray"] = ray.__version__  # of the process: the package on disk may have been replaced meanwhile
    gpus, gpu_error = _ask_torch() if asks_torch else ([], "")
    return MachineFacts(
        python=platform.python_version(),
        packages=packages,
        code=hash_code([_package_folder(name) for name in PACKAGES]),
        time_s=time.time(),
        open_files=_limit("RLIMIT_NOFILE"),
        processes=_max_processes(),
        memory_bytes=_memory_bytes(),
        shared_memory=_room(SHARED_MEMORY),
        rooms={what: room for what, folder in places.items() if (room := _room(folder)) is not None},
        gpus=gpus,
        gpu_error=gpu_error,
    )


def hash_code(packages: Iterable[Path]) -> str:
    """Hash of the source of packages, by their folders: 12 hex digits that two machines with the same code share."""
    digest = hashlib.sha256()
    for package in packages:
        for path in sorted(package.rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(package.parent)} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def _package_folder(name: str) -> Path:
    """Where a package is imported from: on a node each that travelled there has a folder of its own."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no package {name} of Earshot")
    return Path(spec.origin).parent


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _room(folder: Path) -> Room | None:
    """Room where a folder is, or will be made; None where there is no such filesystem."""
    for there in (folder, *folder.parents) if folder != SHARED_MEMORY else (folder,):
        if there.is_dir():
            usage = shutil.disk_usage(there)
            return Room(path=str(folder), free_bytes=usage.free, total_bytes=usage.total)
    return None


def _ray_folder() -> Path:
    """Where Ray keeps sockets, logs and what its object store spills: of this process' Ray, else of the next one."""
    import ray

    node = ray._private.worker._global_node  # there is no public way to ask
    return Path(node.get_session_dir_path() if node else os.environ.get("RAY_TMPDIR", tempfile.gettempdir()))


def _limit(name: str) -> int | None:
    import resource

    soft, _ = resource.getrlimit(getattr(resource, name))
    return None if soft == resource.RLIM_INFINITY else soft


def _max_processes() -> int | None:
    """The lesser of the user's limit and the container's."""
    of_container = [_number(Path("/sys/fs/cgroup") / name) for name in ("pids.max", "pids/pids.max")]
    found = [limit for limit in (_limit("RLIMIT_NPROC"), *of_container) if limit is not None]
    return min(found, default=None)


def _memory_bytes() -> int:
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    of_container = (_number(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "memory/memory.limit_in_bytes"))
    return min(pages, *(limit for limit in of_container if limit is not None), pages)


def _number(path: Path) -> int | None:
    """The number that a file of the kernel holds; None for no file, and for `max`."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _ask_torch() -> tuple[list[str], str]:
    import torch

    try:
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        for index in range(len(names)):
            torch.ones(2, device=f"cuda:{index}").sum().item()  # a build without kernels for this GPU fails here
    except RuntimeError as error:
        return [], str(error).splitlines()[0]
    if not names:
        build = "a build for CPUs alone" if torch.version.cuda is None else f"built for CUDA {torch.version.cuda}"
        return [], f"torch {torch.__version__}, {build}, sees none"
    return names, ""
