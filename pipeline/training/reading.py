"""Every kept clip of a part, decoded, in batches, in the order of its tar; what is damaged is set aside."""

import itertools
from collections.abc import Iterator

import torch

from pipeline.clips.samples import Clip, decode_sample
from pipeline.clips.tars import read_sequence
from pipeline.errors import DataError
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import prefetch, read_ahead

NUM_DECODERS = 8  # where a GPU waits for them; decoding a clip takes 3 ms (2 cores of 2026)
Decoded = tuple[str, Clip | DataError]  # a clip's key, and the clip or what is wrong with it


def read_clips(
    workspace: Workspace, folder: str, part: str, keys: list[str], batch_size: int, damaged: dict[str, DataError]
) -> Iterator[list[Clip]]:
    """The clips of a part, `batch_size` at a time, fewer where some are damaged; the next ones are decoded meanwhile.

    Args:
        folder: of the tars, such as clips/base.
        keys: of the clips that the part's rows promise, in order.
        damaged: gets each clip that cannot be decoded, with what is wrong with it.
    Raises:
        DataError: the tar is not what its rows promise, or none of its several clips can be decoded: then the clips
            are not the cause.
    """
    is_any_whole = False
    for batch in read_ahead(_batches(workspace.tar_uri(folder, part), keys, batch_size)):
        damaged |= {key: clip for key, clip in batch if isinstance(clip, DataError)}
        whole = [clip for _, clip in batch if isinstance(clip, Clip)]
        if whole:
            is_any_whole = True
            yield whole
    if len(damaged) > 1 and not is_any_whole:
        raise next(iter(damaged.values()))


def _batches(uri: str, keys: list[str], batch_size: int) -> Iterator[list[Decoded]]:
    def decode(sample: tuple[str, dict[str, bytes]]) -> Decoded:
        key, members = sample
        try:
            return key, decode_sample(key, members, uri)
        except DataError as error:
            return key, error

    num_threads = NUM_DECODERS if torch.cuda.is_available() else 1
    with files.local_copy(uri) as path:
        clips = prefetch(decode, read_sequence(path, keys, uri), num_threads, depth=batch_size)
        while batch := list(itertools.islice(clips, batch_size)):
            yield batch
