"""What the commands that write share: a stage claimed while it is made, parts mapped under a bar, the last line.

The settings that a session works with, and those of stages that were begun, are in `root_settings`.
"""

import collections
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, TypeVar

from cluster.addresses import cluster_address
from cluster.faults import UnsharedError
from cluster.following import Follow
from cluster.resources import WorkerResources
from jobs.console.logs import keep_in
from jobs.console.messages import at_work, is_json, say
from jobs.console.monitor import Monitor, publish_parts
from jobs.console.overrides import override
from jobs.console.pipeline_config import check_together
from jobs.console.root_settings import RootSettings, read_settings
from pipeline.errors import ConfigError, OutageError
from pipeline.formatting import format_counts
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from pipeline.storage.lineage import places
from pipeline.storage.locking import LOCKS_FOLDER, claim
from pipeline.storage.tombstones import check_finished
from pipeline.storage.workspace import workspace_at

R = TypeVar("R")
Note = Callable[[Mapping[str, float], float], str]


@dataclasses.dataclass(frozen=True)
class Session(RootSettings):
    """One command at work on a workspace."""

    address: str | None = None
    """Of a Ray cluster; None where this machine does the work."""
    stages: list[str] = dataclasses.field(default_factory=list, compare=False)
    """What is begun now, such as clips/base; shared with the sessions that `resume` makes of this one."""
    follow: Follow | None = None
    """A stage whose workers take the parts that this session's stages have done."""
    shared: dict[str, str | None] = dataclasses.field(default_factory=dict, compare=False)
    """Local files that the nodes of a cluster have to see as this machine does, by path; `share` adds to them."""

    def check_placement(self, stages: Mapping[str, WorkerResources]) -> None:
        """Refuse before any work what no node can run. Connects to Ray.

        Raises:
            ConnectionError: a line for each of the stages that fits no node.
        """
        from cluster.placement import check_placement

        self.connect()
        if refused := check_placement(stages):
            raise ConnectionError("\n".join([*refused, "Add a larger node: nothing was begun."]))

    def connect(self) -> None:
        """Connect to Ray, if this process is not.

        Raises:
            ConnectionError: no cluster answers, or Ray does not start.
        """
        from cluster.connect import connect
        from pipeline.storage.s3_clients import node_environment

        connect(self.address, environment=node_environment())

    def share(self, what: str, uri: str) -> None:
        """Make sure that the nodes of a cluster see a local file as this machine does, now and before each part.

        Args:
            what: the folder that the file stands for, as the user knows it.
        Raises:
            ConnectionError: as `connect` does.
            UnsharedError: a node does not.
        """
        if cluster_address(self.address) is not None and files.store_at(uri).is_local:
            self.connect()
            from cluster.sharing import check_shared

            path = str(files.local_path(uri))
            self.shared[path] = check_shared(what, path)

    @contextmanager
    def begin(self, stage: str, config: Any, inputs: dict[str, str], needs_ray: bool = True) -> Iterator[None]:
        """Claim a stage while the block runs; the first one also stores this session's settings.

        A stage that needs Ray is begun once Ray is there, and once every node of a cluster shares the root: a wrong
        address must not bind the root to this config.

        Args:
            needs_ray: whether the block works in parts. For the others see `Workspace.begin`.
        Raises:
            ConnectionError, UnsharedError: as `share` does.
            ConfigError: the root cannot be written to, the stage holds work of another config or of other inputs, or
                another command is at work in it, or a takedown was stopped half way.
        """
        if needs_ray and not self.workspace.has_stage(stage):
            self.connect()
        is_new = not files.exists(self.workspace.uri(SETTINGS_FILE))
        if is_new:
            files.check_writable(self.workspace.root)
        lock = self.workspace.uri(LOCKS_FOLDER, f"{stage}.json")
        with claim(self.workspace, stage):
            check_finished(self.workspace)
            if needs_ray:
                self.share(f"root {self.workspace.root}", lock)  # its content is this process' own
            keep_in(self.workspace.root)
            for place in places(self.workspace, stage):
                files.store_at(place).remove_unfinished(place)
            self.workspace.begin(stage, config, inputs)
            if is_new:
                self.store()
            self.stages.append(stage)
            try:
                with at_work(stage):
                    yield
            finally:
                self.stages.remove(stage)
                self.shared.pop(lock, None)

    def map(
        self,
        stage: str,
        work: Callable[[str], Mapping[str, float]],
        parts: list[str],
        needs: WorkerResources,
        **options: Any,
    ) -> collections.Counter[str]:
        """Run `work`, part -> counts by name, on every part; return the sum of the counts. Options as of `each`."""
        counts: collections.Counter[str] = collections.Counter()
        for found in self.each(stage, work, parts, needs, counts=counts, **options):
            counts.update(found)
        return counts

    def each(
        self,
        stage: str,
        work: Callable[[str], R],
        parts: list[str],
        needs: WorkerResources,
        parts_per_task: int = 1,
        counts: Mapping[str, float] = MappingProxyType({}),
        note: Note = lambda counts, elapsed_s: format_counts(counts),
        verify: Callable[[str, R], None] | None = None,
    ) -> Iterator[R]:
        """What `work` gives of each part, as the parts are done, under one progress bar.

        With no part left to do, Ray is not even started. Costs and metrics of the parts are recorded on the way.

        Args:
            stage: the command, and the name of what it makes if there can be several.
            work: what is done with a part.
            parts: those to do.
            needs: of one worker.
            parts_per_task: see `map_parts`.
            counts: for the bar and the metrics; the caller counts in it what it has been given.
            note: what the bar says of the counts so far and the seconds they took.
            verify: called with each part and its result on a cluster, and raises where a node is to blame for it.
        """
        if not parts:
            return
        from cluster.mapping import map_parts
        from jobs.console.metering import Metered
        from jobs.console.reporting_waits import ReportingWaits

        self.connect()
        metered: Callable[[str], R] = ReportingWaits(Metered(self.workspace, stage.replace(" ", "-"), work))
        if self.shared:
            from cluster.sharing import OnShared

            metered = OnShared(metered, dict(self.shared))
        began = time.monotonic()
        with Monitor(self.workspace, self.stages, stage, len(parts), publish=publish_parts) as monitor:
            mapped = map_parts(
                metered,
                parts,
                needs,
                parts_per_task,
                monitor.hand_out,
                fatal=(ConfigError, OutageError, UnsharedError),
                follow=self.follow,
                say=say,
            )
            for part, result in mapped:
                if verify is not None and cluster_address(self.address) is not None:
                    verify(part, result)
                yield result
                monitor.advance(1, counts, note(counts, time.monotonic() - began))

    def done(self, command: str, facts: str, stage: str) -> None:
        """The command's last line: what was done, and where it lies."""
        line = f"{command}: {facts} -> {self.workspace.place(stage)}"
        print(line, flush=True)
        if is_json():
            say(line)


def open_session(
    root: str,
    preset_name: str | None = None,
    settings: list[str] | None = None,
    seed: int | None = None,
    address: str | None = None,
) -> Session:
    """The session of a command that writes to `root`.

    Raises:
        ConfigError: the preset or a setting is unknown, or settings do not go together.
    """
    workspace = workspace_at(root)
    config, stored_seed = read_settings(workspace, preset_name)
    given = tuple(settings or ())
    config = override(config, given)
    check_together(config)
    return Session(
        workspace,
        config,
        stored_seed if seed is None else seed,
        given=given if preset_name is None else None,
        is_seed_given=seed is not None,
        address=address,
    )
