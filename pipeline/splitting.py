"""Which split a video is in: a function of the video alone, so no clip of a training video is ever evaluated on."""

import dataclasses
import hashlib

from pipeline.artifacts import VIDEOS_FOLDER, Workspace
from schemas.videos import VIDEOS

SPLITS = ("train", "validate", "test")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SplittingConfig:
    """Shares of the videos; what is left after validate and test trains."""

    validate_fraction: float = 0.02
    """Videos that choose the best checkpoint. More gives a steadier choice and less to train on."""
    test_fraction: float = 0.02
    """Videos that only evaluation sees."""

    def __post_init__(self) -> None:
        if min(self.validate_fraction, self.test_fraction) < 0 or self.validate_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"splitting.validate_fraction = {self.validate_fraction}, test_fraction = {self.test_fraction}: "
                "expected 0 or more each, and less than 1 together."
            )


def split_of(video_id: str, config: SplittingConfig, prescribed: str | None = None) -> str:
    """train, validate or test, from a hash of `video_id`, unless the collection prescribes one."""
    if prescribed is not None:
        return prescribed
    position = int.from_bytes(hashlib.sha256(f"split {video_id}".encode()).digest()[:8], "big") / 2**64
    if position < config.test_fraction:
        return "test"
    return "validate" if position < config.test_fraction + config.validate_fraction else "train"


def part_splits(workspace: Workspace, part: str, config: SplittingConfig) -> dict[str, str]:
    """The split of each video of a part."""
    rows = workspace.read(VIDEOS_FOLDER, part, VIDEOS, ["video_id", "split"]).to_pylist()
    return {row["video_id"]: split_of(row["video_id"], config, row["split"]) for row in rows}
