"""What `match` begins with: a coincidence model behind functions of arrays, with the clip spec of its clips."""

from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from pipeline.inference.match_sides import Judgement, MatchModel


def load_match_model(root: str | None, model: str) -> "MatchModel":
    """A coincidence model that judges files.

    Raises:
        ConfigError: there is no such model, it is not one of coincidence, or it learnt from imported vectors.
    """
    from pipeline.clip_specs import ClipSpecs
    from pipeline.clips.cutting import ShardingConfig
    from pipeline.config import from_dict
    from pipeline.inference.match_sides import MatchModel
    from pipeline.learners.loading import check_towers, load_model
    from pipeline.storage.workspace import open_workspace

    if root is None:
        raise ConfigError("match needs a model, and --root was not given.", "no model")
    workspace = open_workspace(root)
    check_towers(workspace, model)
    learner, network = load_model(workspace, model, "coincidence")
    cut = workspace.stage(f"clips/{learner.clip_spec}")["settings"]
    return MatchModel(
        spec=getattr(from_dict(ClipSpecs, cut["clips"]), learner.clip_spec),
        cutting=from_dict(ShardingConfig, cut["sharding"]),
        embed_pictures=lambda pictures: learner.embed_pictures(network, pictures).cpu().numpy(),
        embed_sounds=lambda sounds: learner.embed_sounds(network, sounds).cpu().numpy(),
        judge=_Judge(network),
    )


class _Judge:
    """Embeddings of numpy -> what the network says of their pairs."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def __call__(self, visual: "np.ndarray", audio: "np.ndarray") -> "Judgement":
        import numpy as np
        import torch

        from pipeline.inference.match_sides import Judgement

        with torch.inference_mode():
            device = next(self._network.parameters()).device
            seen, heard = (torch.from_numpy(np.float32(each)).to(device) for each in (visual, audio))
            seen, heard = torch.broadcast_tensors(seen, heard)
            logit = (self._network.audio_queries(seen) * heard).sum(dim=-1)
            said = (self._network.score(seen, heard), logit, (seen * heard).sum(dim=-1))
        return Judgement(*(each.float().cpu().numpy() for each in said))
