"""What tests share: small media made by ffmpeg, an S3 endpoint on loopback, and a synthetic world cut into clips."""

import fcntl
import functools
import logging
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before numpy is imported. With a thread for each core in each process, small products wait for cores that others have:
# cutting clips takes a half more CPU on 2 cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import botocore.session
import pytest
import torch
from xdist.scheduler.loadscope import LoadScopeScheduling

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.sharding import ShardPart
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.media.sandbox import ffmpeg_path
from pipeline.storage import s3_clients
from pipeline.storage.layout import COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.synthetic.planning import WorldConfig
from pipeline.synthetic.rendering import render_scene
from pipeline.synthetic.truth import write_labels
from schemas.videos import VIDEOS
from tests.helpers.browser import OWN_SCHEMES, Browser, chromium
from tests.helpers.cutting import SPEC, Cut
from tests.helpers.faulty_store import Store
from tests.helpers.versions import VERSIONED

torch.set_num_threads(1)

MakeMedia = Callable[..., Path]
WORLD = WorldConfig(num_videos=12, seed=3, duration_s=5.0)
WORLD_SPLITS = ("train",) * 5 + ("validate",) * 3 + ("test",) * 4
WORLD_SPEC = ClipSpec(clip_s=2.0, frame_height=32, frame_width=32)

# `make quick` runs the tests that have none of these marks.
MARK_OF_FIXTURE = {
    "ray_session": "ray",
    "make_media": "media",
    "shared_media": "media",
    "s3_bucket": "s3",
    "browser": "browser",
}
MARK_OF_MODULE = {
    **dict.fromkeys(("test_crashes", "test_gathering", "test_locking", "test_train"), "processes"),
    **dict.fromkeys(
        (
            "test_clip_files",
            "test_clip_video",
            "test_estimating",
            "test_ffmpeg_features",
            "test_muxing",
            "test_opening",
            "test_player_page",
            "test_rating_page",
            "test_separate",
            "test_separating",
            "test_serving",
            "test_synthetic",
            "test_video_writing",
        ),
        "media",
    ),
    **dict.fromkeys(("test_coincidence", "test_learner_contract", "test_learners", "test_loop"), "training"),
    **dict.fromkeys(("test_resuming", "test_training_faults"), "training"),
    **dict.fromkeys(("test_segmentation", "test_published_training"), "training"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the fixtures that it needs, directly or through others, and by its module."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        marks = {mark for name, mark in MARK_OF_FIXTURE.items() if name in fixtures}
        marks |= {"s3"} if "[s3" in item.name else set()  # a fixture asked for by name shows nowhere else
        for mark in sorted(marks | {MARK_OF_MODULE.get(item.path.stem, "")} - {""}):
            item.add_marker(mark)


class RayInOneProcess(LoadScopeScheduling):
    """Of several pytest processes one runs all modules that need Ray, first since they take longest, and so starts the
    only Ray; the other modules go one by one to whichever process is free."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return "ray" if needs_ray(Path(__file__).parent.parent / module) else module


@functools.cache
def needs_ray(module: Path) -> bool:
    """Whether a module has a test that does."""
    return "ray_session" in module.read_text()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Of several pytest processes, the one that runs what needs Ray ends it afterwards: idle, it takes 7% of a core."""
    if "PYTEST_XDIST_WORKER" in os.environ and needs_ray(item.path) and not (nextitem and needs_ray(nextitem.path)):
        import ray

        ray.shutdown()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> RayInOneProcess:
    return RayInOneProcess(config, log)


@pytest.fixture(scope="session")
def make_media(tmp_path_factory: pytest.TempPathFactory) -> MakeMedia:
    """make_media("tone.wav", "-f", "lavfi", "-i", ...) -> the file, made by ffmpeg once per session."""
    folder = tmp_path_factory.mktemp("media")
    made: dict[str, tuple[str, ...]] = {}

    def make(name: str, *arguments: str) -> Path:
        path = folder / name
        assert made.setdefault(name, arguments) == arguments, f"{name}: made in another way by another test"
        if not path.exists():
            subprocess.run(
                [ffmpeg_path(), "-y", "-v", "error", "-threads", "1", *arguments, str(path)], check=True, cwd=folder
            )
        return path

    return make


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves weights as memory has them: shapes need no numbers, and to draw 150 million takes seconds."""
    for name in ("kaiming_uniform_", "kaiming_normal_", "trunc_normal_", "normal_", "uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)


@pytest.fixture(scope="module")
def chromium_of_module() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def browser(chromium_of_module: Browser) -> Iterator[Browser]:
    """A headless Chromium; the test fails if a page has an error, or fetches anything from outside."""
    chromium_of_module.complaints.clear()
    chromium_of_module.own = OWN_SCHEMES
    yield chromium_of_module
    chromium_of_module.close_pages()
    assert not chromium_of_module.complaints


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """The folder of real media beside the checkout; tests that use it are skipped where it is missing."""
    default = Path(__file__).parent.parent.parent / "shared" / "media"
    folder = Path(os.environ.get("EARSHOT_MEDIA", default))
    if not folder.is_dir():
        pytest.skip(f"no media at {folder}: set EARSHOT_MEDIA to the folder of real videos")
    return folder


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[str]:
    """s3://<bucket> of a real S3 endpoint on loopback, kept in memory; it mirrors the public buckets, empty, too."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "EARSHOT_PUBLIC_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        s3_clients.make_client.cache_clear()
        for bucket in ("earshot", *s3_clients.PUBLIC_BUCKETS):
            boto3.client("s3").create_bucket(Bucket=bucket, ACL="public-read")
        yield "s3://earshot"
    s3_clients.make_client.cache_clear()
    server.stop()


@pytest.fixture
def versioned(s3_bucket: str) -> Iterator[str]:
    """s3://<bucket> of the same endpoint, empty, that keeps versions."""
    client = s3_clients.client(VERSIONED)
    client.create_bucket(Bucket=VERSIONED)
    client.put_bucket_versioning(Bucket=VERSIONED, VersioningConfiguration={"Status": "Enabled"})
    yield f"s3://{VERSIONED}"
    found = client.list_object_versions(Bucket=VERSIONED)
    for item in (*found.get("Versions", ()), *found.get("DeleteMarkers", ())):
        client.delete_object(Bucket=VERSIONED, Key=item["Key"], VersionId=item["VersionId"])
    client.delete_bucket(Bucket=VERSIONED)


create_loader = functools.cache(botocore.session.create_loader)  # else each client parses 1 MB of JSON: 0.2 s


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """s3://bucket with faults, for a test to set; waits between two requests take no time."""
    with Store() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        settings = {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "us-east-1"}
        for name, value in (settings | {"ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}).items():
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between two attempts, ours and boto's
        monkeypatch.setattr("botocore.session.create_loader", create_loader)
        s3_clients.make_client.cache_clear()
        yield server
        s3_clients.make_client.cache_clear()
        server.shutdown()


@dataclass(frozen=True)
class World:
    """Twelve rendered videos of 5 s, cut into clips of 2 s every 1 s: four clips per video."""

    folder: Path
    """videos/, truth/ and labels.csv, as `pipeline.synthetic` writes them."""
    collection: str
    workspace: Workspace
    """collection/, clips/ and videos/ in two parts. Read it, or copy it (`workspace`); do not write to it."""
    spec: ClipSpec
    video_ids: dict[str, list[str]]
    """By split, which the collection prescribes."""


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Made once, by whichever of several pytest processes needs it first."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "world"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            make_world(folder)
            (folder / "made").touch()
    workspace = Workspace(str(folder / "workspace"))
    video_ids: dict[str, list[str]] = {}
    for part in workspace.parts(VIDEOS_FOLDER):
        for row in workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist():
            video_ids.setdefault(row["split"], []).append(row["video_id"])
    return World(folder, str(folder / "collection.csv"), workspace, WORLD_SPEC, video_ids)


def make_world(folder: Path) -> None:
    """Render the videos, list them and cut them."""
    folder.mkdir()
    rows = ["uri,split,license"]
    for index, split in enumerate(WORLD_SPLITS):
        video = render_scene(WORLD, index, folder)
        rows.append(f"videos/{video.name},{split},CC0")
    write_labels(WORLD, folder)
    collection = folder / "collection.csv"
    collection.write_text("\n".join(rows) + "\n")
    workspace = Workspace(str(folder / "workspace"))
    plan_parts(workspace, list_videos(str(collection)), CollectingConfig(videos_per_part=6))
    shard = ShardPart(workspace, {BASE: WORLD_SPEC}, ShardingConfig())
    for part in workspace.pending(source=COLLECTION_FOLDER, target=VIDEOS_FOLDER):
        shard(part)


@pytest.fixture
def workspace(world: World, tmp_path: Path) -> Workspace:
    """A copy of the world's workspace, to write to."""
    shutil.copytree(world.workspace.root, tmp_path / "workspace")
    return Workspace(str(tmp_path / "workspace"))


@pytest.fixture
def cut(tmp_path: Path) -> Callable[..., Cut]:
    """cut(file, ..., columns="start_s,end_s", values="3,7") -> what became of the files."""
    made: list[int] = []

    def run(
        *files: Path | str,
        columns: str = "",
        values: str = "",
        spec: ClipSpec = SPEC,
        config: ShardingConfig | None = None,
    ) -> Cut:
        made.append(1)
        table = tmp_path / f"list_{len(made)}.csv"
        rows = [f"uri{columns and ','}{columns}", *(f"{file}{values and ','}{values}" for file in files)]
        table.write_text("\n".join(rows) + "\n")
        return Cut(Workspace(str(tmp_path / f"workspace_{len(made)}")), table, spec, config or ShardingConfig())

    return run


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """This machine's Ray, started once for all tests that need it."""
    import ray

    from cluster.connect import connect

    os.environ |= {"RAY_metrics_report_interval_ms": "2000"}  # 10 s otherwise: a test of metrics would wait for it
    connect()
    yield
    ray.shutdown()
