"""A picture and many sounds, or a sound and many pictures -> which of them fit best, by what the model says of each.

Every file of the folder is judged with the query as a pair (`matching_pairs`), so a file that cannot be used is a row
with its reason, behind all others.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.inference.inputs import SUFFIXES
from pipeline.inference.match_sides import Sides
from pipeline.inference.matching_pairs import judge_pairs
from pipeline.storage import files
from pipeline.storage.localfiles import Skipped
from pipeline.storage.pair_files import Pair

Sought = Literal["picture", "sound"]
Order = Literal["probability", "logit", "cosine"]
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")


def list_candidates(address: str, sought: Sought) -> list[str]:
    """The files below a folder or prefix that may have what is sought, in the order of their addresses.

    Raises:
        ConfigError: there is none.
    """
    suffixes = SUFFIXES if sought == "sound" else (*SUFFIXES, *IMAGES)
    found = [entry.uri for entry in files.list_files(address, skipped=Skipped())]
    candidates = [uri for uri in found if uri.lower().endswith(suffixes)]
    if not candidates:
        raise ConfigError(
            f"{address}: {len(found)} files there, none of them a {sought}'s. Expected a folder or prefix with files "
            f"such as {', '.join(suffixes[-3:])}."
        )
    return candidates


def rank_files(
    sides: Sides,
    query: str,
    sought: Sought,
    candidates: Iterable[str],
    by: Order = "probability",
    report: Callable[[Pair], None] = lambda pair: None,
) -> pa.Table:
    """Rows of `matching_pairs.ROWS` for each candidate, the best first, each with its `rank` from 1 on.

    Those that cannot be judged come last, without a rank. Of equals the first by address comes first.

    Args:
        sides: reads and remembers.
        query: address of the picture where sounds are sought, of the sound where pictures are.
        sought: what the candidates are.
        candidates: their addresses.
        by: what they are ordered by.
        report: called after each.
    """
    pairs = [Pair(query, uri) if sought == "sound" else Pair(uri, query) for uri in candidates]
    rows = judge_pairs(sides, pairs, report)
    order = rows.append_column("_row", pa.array(range(len(rows)))).sort_by([(by, "descending"), ("_row", "ascending")])
    num_judged = len(rows) - rows[by].null_count
    ranks = pa.array(np.arange(1, len(rows) + 1), pa.int32(), mask=np.arange(len(rows)) >= num_judged)
    return order.drop_columns("_row").add_column(0, "rank", ranks)
