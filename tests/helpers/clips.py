"""The clips of one split, and what their JSON must be."""

from typing import Any, get_args, get_origin, is_typeddict

from pipeline.clips.splitting import SplittingConfig
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.clipsets import load_splits
from schemas.fields import describe_keys


def load_split(workspace: Workspace, split: str, splitting: SplittingConfig) -> ClipSet:
    """Every kept clip of a split."""
    (clips,) = load_splits(workspace, (split,), splitting, workspace.require(CLIPS_FOLDER))
    return clips


def assert_described(facts: dict[str, Any], kind: type) -> None:
    """The JSON of a sample has the keys that `schemas.samples` describes, no others, and values of their types."""
    keys = {key.name: key for key in describe_keys(kind)}
    assert facts.keys() == keys.keys()
    for name, value in facts.items():
        key = keys[name]
        if value is None:
            assert key.is_nullable, name
            continue
        assert isinstance(value, get_origin(key.kind) or key.kind), name
        for item in value if isinstance(value, list) else []:
            (of_item,) = get_args(key.kind)
            if is_typeddict(of_item):
                assert_described(item, of_item)
            else:
                assert isinstance(item, of_item), name
