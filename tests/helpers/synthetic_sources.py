"""One source of a synthetic scene, of a kind and with spans of one's choice."""

from dataclasses import replace

import numpy as np

from pipeline.synthetic.kinds import KINDS, plan_notes
from pipeline.synthetic.planning import WorldConfig, place_thing, plan_source
from pipeline.synthetic.scenes import Source


def a_source(kind: str, number: int, spans: tuple[tuple[float, float], ...] | None = None) -> Source:
    """A source of one kind alone in view, sounding throughout 4 s or in `spans`."""
    rng = np.random.default_rng([number, list(KINDS).index(kind)])
    config = WorldConfig(num_videos=1, duration_s=4.0, event_fraction=0.0)
    source = plan_source(config, number, 0, place_thing(kind, 0, 1, 4 / 3, rng), kind, rng)
    if spans is None:
        return source
    return replace(source, spans=spans, notes=plan_notes(kind, spans, source.pitch_hz, rng))
