"""The flow from videos to mixtures: what came in is what its parts add up to."""

from pipeline.reports.flow import list_bars


def row(step: str, name: str, outcome: str, n: int) -> dict[str, object]:
    return {"step": step, "name": name, "outcome": outcome, "n": n}


def test_bars_come_in_the_order_of_the_data_with_what_is_kept_first() -> None:
    rows = [
        row("mixtures", "default", "on_mom", 5),
        row("clips", "base", "silent", 30),
        row("clips", "base", "kept", 60),
        row("clips", "base", "short_audio", 10),
        row("videos", "base", "kept", 8),
    ]
    bars = list_bars(rows)
    assert [(bar.step, bar.name, bar.total) for bar in bars] == [
        ("videos", "base", 8),
        ("clips", "base", 100),
        ("mixtures", "default", 5),
    ]
    assert [(part.outcome, part.n, part.share) for part in bars[1].parts] == [
        ("kept", 60, 0.6),
        ("silent", 30, 0.3),
        ("short_audio", 10, 0.1),
    ]
    assert [part.is_kept for part in bars[1].parts] == [True, False, False]
    assert all(part.is_kept for part in bars[2].parts)  # each set of mixtures goes on


def test_small_parts_are_one_and_nothing_is_lost() -> None:
    counts = {"kept": 1, "silent": 970, "a": 19, "b": 10}
    (bar,) = list_bars([row("clips", "base", name, n) for name, n in counts.items()])
    assert [(part.outcome, part.n) for part in bar.parts] == [("kept", 1), ("silent", 970), ("others", 29)]
    assert sum(part.n for part in bar.parts) == bar.total == 1000
    (bar,) = list_bars([row("clips", "base", name, n) for name, n in {"kept": 99, "silent": 1}.items()])
    assert [part.outcome for part in bar.parts] == ["kept", "silent"]
