"""The settings and the seed that a command works with: its root's, or what it was given.

The command that begins a root stores its whole config and seed in `<root>/earshot.json`; later commands take them from
there, so `--preset`, `--set` and `--seed` are said once. Said again, they count for that command, and for those that go
on with what it made.
"""

import dataclasses
import json
from typing import Any, Self

from jobs.console.messages import say
from jobs.console.options import DEFAULT_PRESET
from jobs.console.overrides import list_settings, override
from jobs.console.pipeline_config import PipelineConfig, decided_by_clips
from jobs.console.presets import of_newer_learners, preset
from jobs.console.progress import printable
from pipeline.config import from_dict
from pipeline.errors import ConfigError
from pipeline.hashing import as_dict
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, SETTINGS_FILE
from pipeline.storage.workspace import Workspace

MAX_NAMED = 5  # settings of a stage that are named: a stage of another preset differs in dozens


@dataclasses.dataclass(frozen=True)
class RootSettings:
    """A workspace, and the settings with which a command works on it."""

    workspace: Workspace
    config: PipelineConfig
    seed: int
    given: tuple[str, ...] | None = None
    """This command's --set; None where the whole config was given: by --preset, or in code."""
    is_seed_given: bool = True

    def resume(self, stage: str) -> Self:
        """These settings with those and the seed that a stage was begun with, if it was.

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
        before = set(_list(self))
        return [setting for setting in _list(self._resumed(stage)) if setting not in before]

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

    def _resumed(self, stage: str) -> Self:
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

    def store(self) -> None:
        """Make them the root's own, which later commands take from there."""
        settings = as_dict(self.config) | {"seed": self.seed}
        files.commit_bytes(self.workspace.uri(SETTINGS_FILE), json.dumps(settings, indent=1).encode())


def read_settings(workspace: Workspace, preset_name: str | None) -> tuple[PipelineConfig, int]:
    """The config and the seed that a root has stored, or a preset's: that of the name, or the default where there is no
    root yet.

    Raises:
        ConfigError: the preset is unknown, or another version stored the root's settings.
    """
    uri = workspace.uri(SETTINGS_FILE)
    stored: dict[str, Any] = json.loads(files.read_bytes(uri)) if files.exists(uri) else {}
    seed = stored.pop("seed", 0)
    if preset_name is not None or not stored:
        return preset(preset_name or DEFAULT_PRESET), seed
    return _restored(stored | of_newer_learners(stored), uri, {"topic": "other version"}), seed


def _restored(config: dict[str, Any], where: str, topic: dict[str, str]) -> PipelineConfig:
    try:
        return from_dict(PipelineConfig, config)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}", **topic) from error


def _list(settings: RootSettings) -> list[str]:
    """`filtering.top_clips=9` for every field of the config that is not decided by clips, and the seed."""
    decided = {f"{learner}.{field}" for learner, field in decided_by_clips()}
    listed = [f"{path}={text}" for path, text, _ in list_settings(settings.config) if path not in decided]
    return [*listed, f"seed={settings.seed}"]
