"""What the commands that write share: the workspace with its config, parts mapped with a progress bar, the last line.

The command that begins a root stores its whole config and seed in `<root>/earshot.json`; later commands take them from
there, so `--preset`, `--set` and `--seed` are said once. Said again, they count for that command, and for those that go
on with what it made.
"""

import collections
import dataclasses
import json
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
from jobs.console.options import DEFAULT_PRESET
from jobs.console.overrides import list_settings, override
from jobs.console.presets import PipelineConfig, check_together, decided_by_clips, of_newer_learners, preset
from jobs.console.progress import printable
from pipeline.config import from_dict
from pipeline.errors import ConfigError, OutageError
from pipeline.estimate.usage import Metered
from pipeline.formatting import format_counts
from pipeline.hashing import as_dict
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, SETTINGS_FILE
from pipeline.storage.lineage import places
from pipeline.storage.locking import LOCKS_FOLDER, claim
from pipeline.storage.tombstones import check_finished
from pipeline.storage.workspace import Workspace, workspace_at

R = TypeVar("R")
Note = Callable[[Mapping[str, float], float], str]
MAX_NAMED = 5  # settings of a stage that are named: a stage of another preset differs in dozens


@dataclasses.dataclass(frozen=True)
class Session:
    """One command at work on a workspace."""

    workspace: Workspace
    config: PipelineConfig
    seed: int
    address: str | None
    given: tuple[str, ...] | None = None
    """This command's --set; None where the whole config was given: by --preset, or in code."""
    is_seed_given: bool = True
    stages: list[str] = dataclasses.field(default_factory=list, compare=False)
    """What is begun now, such as clips/base; shared with the sessions that `resume` makes of this one."""
    follow: Follow | None = None
    """A stage whose workers take the parts that this session's stages have done."""
    shared: dict[str, str | None] = dataclasses.field(default_factory=dict, compare=False)
    """Local files that the nodes of a cluster have to see as this machine does, by path; `share` adds to them."""

    def resume(self, stage: str) -> "Session":
        """This session with the settings and the seed that a stage was begun with, if it was.

        What the command line gives now is kept: where it differs, `begin` refuses the stage and says how. Without this,
        every repeat of `filter --name top --set filtering.top_clips=9` would have to name all its settings again. A
        line on stderr names what is taken from its record and would be another value without it.

        Args:
            stage: such as scores/coincidence.
        Raises:
            ConfigError: it was begun by a version with other fields, or what is given now does not fit it.
        """
        resumed = self._resumed(stage)
        if own := self.own_settings(stage):
            more = f" and {len(own) - MAX_NAMED} more" if len(own) > MAX_NAMED else ""
            text = f"{stage}: goes on with its own {', '.join(own[:MAX_NAMED])}{more}"
            say(printable(text))
        return resumed

    def own_settings(self, stage: str) -> list[str]:
        """`filtering.top_clips=9`, or `seed=1`, for every setting that a stage was begun with and this session has not.

        Raises:
            ConfigError: it was begun by a version with other fields, or what is given now does not fit it.
        """
        before = set(_settings(self))
        return [setting for setting in _settings(self._resumed(stage)) if setting not in before]

    def check(self, *stages: str) -> None:
        """Refuse before any work what `begin` would refuse later: stages that were begun with other settings.

        Raises:
            ConfigError: one holds work of other settings, or of a version with other fields.
        """
        for stage in filter(self.workspace.has_stage, stages):
            record = self.workspace.stage(stage)
            session = self if stage == CLIPS_FOLDER else self._resumed(stage)  # clips are the root's own
            config = as_dict(session.config) | {"seed": session.seed}
            wanted = {name: config.get(name, value) for name, value in record["settings"].items()}
            for learner, field in decided_by_clips():  # in the record alone
                if learner in wanted:
                    wanted[learner][field] = record["settings"][learner].get(field)
            if "clips" in wanted:  # a record holds its own clip spec alone
                wanted["clips"] = {spec: config["clips"][spec] for spec in record["settings"]["clips"]}
            self.workspace.check_same(stage, wanted, record["inputs"])

    def check_placement(self, stages: Mapping[str, WorkerResources]) -> None:
        """Refuse before any work what no node can run. Connects to Ray.

        Raises:
            ConnectionError: a line for each of the stages that fits no node.
        """
        from cluster.placement import check_placement

        self.connect()
        if refused := check_placement(stages):
            raise ConnectionError("\n".join([*refused, "Add a larger node: nothing was begun."]))

    def _resumed(self, stage: str) -> "Session":
        if not self.workspace.has_stage(stage):
            return self
        stored, config = self.workspace.stage(stage)["settings"], self.config
        if self.given is not None:
            whole = {name: stored.get(name, value) for name, value in as_dict(config).items()}
            whole["clips"] = as_dict(config.clips) | stored.get("clips", {})  # a record holds its own clip spec alone
            refusal = {"topic": "refused", "stage": stage, "root": self.workspace.root}
            config = override(_restored(whole, self.workspace.place(stage), refusal), self.given)
        seed = self.seed if self.is_seed_given else stored.get("seed", self.seed)
        return dataclasses.replace(self, config=config, seed=seed)

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
        uri = self.workspace.uri(SETTINGS_FILE)
        is_new = not files.exists(uri)
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
                settings = as_dict(self.config) | {"seed": self.seed}
                files.commit_bytes(uri, json.dumps(settings, indent=1).encode())
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

        self.connect()
        metered: Callable[[str], R] = Metered(self.workspace, stage.replace(" ", "-"), work)
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
    uri = workspace.uri(SETTINGS_FILE)
    stored: dict[str, Any] = json.loads(files.read_bytes(uri)) if files.exists(uri) else {}
    if preset_name is not None or not stored:
        config = preset(preset_name or DEFAULT_PRESET)
    else:
        own = {name: stored[name] for name in stored if name != "seed"}
        own |= of_newer_learners(own)
        config = _restored(own, uri, {"topic": "other version"})
    given = tuple(settings or ())
    config = override(config, given)
    check_together(config)
    return Session(
        workspace,
        config,
        stored.get("seed", 0) if seed is None else seed,
        address,
        given=given if preset_name is None else None,
        is_seed_given=seed is not None,
    )


def _restored(config: dict[str, Any], where: str, topic: dict[str, str]) -> PipelineConfig:
    try:
        return from_dict(PipelineConfig, config)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}", **topic) from error


def _settings(session: Session) -> list[str]:
    """`filtering.top_clips=9` for every field of the config that is not decided by clips, and the seed."""
    decided = {f"{learner}.{field}" for learner, field in decided_by_clips()}
    listed = [f"{path}={text}" for path, text, _ in list_settings(session.config) if path not in decided]
    return [*listed, f"seed={session.seed}"]
