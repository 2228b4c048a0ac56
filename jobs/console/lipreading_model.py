"""What `sync` begins and ends with: a model with its clip spec and threshold, and the line about what was done."""

from typing import TYPE_CHECKING, Any

from jobs.console.video_progress import format_pace, last_line
from pipeline.errors import ConfigError
from pipeline.formatting import format_number

if TYPE_CHECKING:
    import numpy as np

    from pipeline.inference.syncing import Synced, SyncModel

NUM_CLIPS = 64  # of the validation split, for the threshold: 128 seconds with their own sound and as many with another


def load_sync_model(root: str | None, model: str, min_score: float | None) -> "SyncModel":
    """A lip-reading model with the clip spec and the frames' quality that it was trained on.

    Args:
        min_score: from which on a face speaks; None takes it from the clips that the model was validated on.
    Raises:
        ConfigError: there is no such model, it is none that compares lips and sound, the files of the face models are
            not there, or there are no clips to take the threshold from.
    """
    from pipeline.clip_specs import ClipSpecs
    from pipeline.clips.cutting import ShardingConfig
    from pipeline.config import from_dict
    from pipeline.inference.speaking_threshold import find_threshold
    from pipeline.inference.syncing import SyncModel
    from pipeline.learners.loading import load_model
    from pipeline.media.faces import FaceFinder
    from pipeline.media.tracking import FaceTracker
    from pipeline.storage.workspace import open_workspace

    if root is None:
        raise ConfigError("sync needs a model, and --root was not given.", "no model")
    finder = FaceFinder()
    workspace = open_workspace(root)
    learner, network = load_model(workspace, model, "lipreading")
    if learner.config.task != "contrast":
        raise ConfigError(
            f"{workspace.uri('models', model)}: a model of {learner.config.task}, which does not compare lips with "
            f"sound; expected lipreading.task = contrast, such as {learner.config.first_model}."
        )
    folder = f"clips/{learner.clip_spec}"
    cut = workspace.stage(folder)["settings"]
    spec = getattr(from_dict(ClipSpecs, cut["clips"]), learner.clip_spec)
    lips, speech = _Embedding(learner.embed_lips, network), _Embedding(learner.embed_speech, network)
    if min_score is None:
        frames, sound = _validation_clips(workspace, learner, model)
        found, error = find_threshold(lips(frames), speech(sound), round(spec.frame_rate_hz))
        print(
            f"sync: a face of a score of {found:.3f} or more speaks; {error:.0%} of the seconds of {len(frames)} "
            "validation clips are then taken wrongly, with their own sound and with another's (chance 50%)",
            flush=True,
        )
        min_score = found
    return SyncModel(
        spec=spec,
        jpeg_quality=from_dict(ShardingConfig, cut["sharding"]).jpeg_quality,
        lips=lips,
        speech=speech,
        min_score=min_score,
        new_tracker=lambda: FaceTracker(finder),
    )


def _validation_clips(workspace: Any, learner: Any, model: str) -> "tuple[np.ndarray, np.ndarray]":
    """Frames [N, T, 3, S, S] and sound [N, n] of clips of different validation videos, of one face alone."""
    import numpy as np

    from pipeline.inference.speaking_threshold import lone_clips
    from pipeline.learners.sources import load_sets

    settings = workspace.stage(f"models/{model}")["settings"]
    folder = f"clips/{learner.clip_spec}"
    parts = workspace.parts(folder)
    clips = load_sets(workspace, learner, settings, ("validate",), parts)[0] if parts else None
    numbers = lone_clips(clips.rows["clip_id"].to_pylist()) if clips else []
    first = {int(clips.video_index[number]): number for number in reversed(numbers)} if clips else {}
    if clips is None or len(first) < 2:
        raise ConfigError(
            f"{workspace.place(folder)}: {len(first)} videos of the validation split with a clip of one face alone, "
            "expected 2 or more: above which score a face speaks is taken from them. Give --min-score."
        )
    chosen = np.random.default_rng(0).permutation(sorted(first.values()))[:NUM_CLIPS]
    found = clips.read_many(chosen)
    return np.stack([clip.frames for clip in found]), np.stack([clip.waveform for clip in found])


class _Embedding:
    """Mouths or sound as numbers of numpy -> embeddings of the short scale."""

    def __init__(self, embed: Any, network: Any) -> None:
        self._embed, self._network = embed, network

    def __call__(self, values: "np.ndarray") -> "np.ndarray":
        import numpy as np
        import torch

        steps: torch.Tensor = self._embed(self._network, torch.from_numpy(np.ascontiguousarray(values))).steps
        return steps.float().cpu().numpy()


def summary(results: "list[Synced]", num_videos: int, elapsed_s: float, out: str) -> str:
    """The last line: how many faces there are in how much video."""
    length_s, num_faces = sum(result.duration_s for result in results), sum(len(result.faces) for result in results)
    facts = f"{num_faces} face{'s' * (num_faces != 1)} in {format_number(length_s, 4)} s of video, followed in "
    return last_line("sync", len(results), num_videos, facts + format_pace(length_s, elapsed_s), out)
