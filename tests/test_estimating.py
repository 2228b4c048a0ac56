"""Planning: what cutting will take, exactly if all videos are sampled, beside what it took; nothing is written."""

import math
import shutil
from pathlib import Path

import pytest
from conftest import WORLD_SPEC, World

from jobs.cli import main
from jobs.console import plan_table
from jobs.console.metering import Metered
from pipeline.clip_specs import BASE
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.sharding import ShardPart
from pipeline.collection.listing import list_videos
from pipeline.estimate.estimating import Estimate, Probe, actual, estimate, probe, probe_all
from pipeline.estimate.pricing import Prices
from pipeline.estimate.stratified_sampling import Range, Stratum, draw
from pipeline.estimate.usage import usage_folder
from pipeline.formatting import format_number
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.usage import USAGE
from schemas.videos import COLLECTION

SMALL = ["--set", "clips.base.clip_s=2", "--set", "clips.base.frame_height=32", "--set", "clips.base.frame_width=32"]
TAR_END_BYTES = 10240  # tarfile ends each tar with zeros, up to a multiple of this


def of(collection: str, num_sampled: int) -> Estimate:
    videos = list_videos(collection)
    strata = draw(((video["video_id"], video["size_bytes"], video) for video in videos), num_sampled)
    steps: list[int] = []
    probes = probe_all(strata, {BASE: WORLD_SPEC}, ShardingConfig(), lambda num_videos, note: steps.append(num_videos))
    assert sum(steps) == sum(len(stratum.sampled) for stratum in strata)
    return estimate(strata, probes, videos_per_part=5)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def cells(output: str) -> dict[str, list[str]]:
    """The printed table: cells by the name of their row."""
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if "│" in line]
    return {name: values for name, *values in lines}


@pytest.fixture
def metered(workspace: Workspace, world: World) -> Workspace:
    """The world's workspace, its first part cut again with its usage, its second without."""
    Metered(workspace, "shard-base", ShardPart(workspace, {BASE: world.spec}, ShardingConfig()))("00000")
    return workspace


@pytest.mark.parametrize("is_folder", [True, False])
def test_an_estimate_from_all_videos_is_what_cutting_them_made(is_folder: bool, world: World) -> None:
    ranges = of(str(world.folder / "videos") if is_folder else world.collection, 12).ranges
    took = actual(world.workspace, [BASE])
    for name in ("videos", "usable_videos", "clips"):
        assert ranges[name] == (took[name],) * 3
    assert ranges["clips"].value == 48
    assert ranges["parts"] == (3, 3, 3)
    for name in ("video_hours", "read_bytes"):  # exact where every video is in the sample
        assert ranges[name].low == ranges[name].value == ranges[name].high
    assert ranges["video_hours"].value == pytest.approx(took["video_hours"])
    assert ranges["read_bytes"].value == sum(path.stat().st_size for path in (world.folder / "videos").iterdir())
    written = ranges["tar_bytes"]
    assert 2 * 1024 <= took["tar_bytes"] - written.value <= 2 * TAR_END_BYTES
    assert (written.low, written.high) == (written.value, written.value + 3 * TAR_END_BYTES)
    spent = ranges["cpu_hours"]
    assert 0 < spent.value < 12 * 5 / 3600  # faster than it plays
    # a time is not known to better than 30 %, and each of the 3 parts may start a worker
    assert (spent.low, spent.high) == pytest.approx((0.7 * spent.value, 1.3 * spent.value + 3 * 0.5 / 3600))


@pytest.mark.parametrize("is_folder", [True, False])
def test_an_estimate_from_some_videos_holds_what_all_of_them_gave(is_folder: bool, world: World) -> None:
    found = of(str(world.folder / "videos") if is_folder else world.collection, 6)
    whole = of(world.collection, 12).ranges
    assert len(found.probes) == 6
    assert found.ranges["clips"].value == 48  # they all give four
    written = found.ranges["tar_bytes"]
    assert written.low < written.high
    assert written.low <= whole["tar_bytes"].value <= written.high
    read = found.ranges["read_bytes"]  # exact where the listing has the sizes
    assert (read.low == read.high) == is_folder
    assert read.low <= whole["read_bytes"].value <= read.high


def test_figures_are_weighted_by_the_stratum_and_usable_videos_are_no_more_than_there_are() -> None:
    def probed(num_kept: int) -> Probe:
        return Probe(
            uri="x",
            outcome="kept" if num_kept else "silent",
            size_bytes=10,
            duration_s=36.0,
            num_kept=num_kept,
            tar_bytes=1000,
            cpu_s=3.6,
            wall_s=4.0,
        )

    strata = [Stratum(100, None, [{}, {}]), Stratum(3, 30, [{}, {}, {}])]
    found = estimate(strata, [[probed(2), probed(0)], [probed(9)] * 3], videos_per_part=10)
    expected = {name: figure.value for name, figure in found.ranges.items()}
    assert (expected["usable_videos"], expected["clips"]) == (100 / 2 + 3, 100 * 1 + 27)
    times = (expected["video_hours"], expected["cpu_hours"], expected["parts"])
    assert times == pytest.approx((1.03, 0.103, 11))
    assert expected["read_bytes"] == 1030
    assert found.ranges["usable_videos"].high == 103
    assert found.ranges["clips"].low == 29  # what the sample alone holds
    assert str(found) == "Sample: 5 of 103 videos, 4 usable; cut in 20.0 s with 18.0 s of CPU.\n  1 silent, such as x"


def test_videos_that_cannot_be_used_are_counted_by_reason_with_an_example(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, path in enumerate(sorted((world.folder / "videos").iterdir())[:2]):
        shutil.copy(path, tmp_path / f"{number}{path.suffix}")
    (tmp_path / "no\x1b[31mtes.txt").write_text("not a video")
    (tmp_path / "list.csv").write_text("uri\n0.mp4\nnot_there.mp4\n")
    found = of(str(tmp_path), 10)
    assert (found.ranges["usable_videos"].value, found.ranges["clips"].value) == (2, 8)
    unreadable = [probe.uri for probe in found.probes if probe.outcome == "unreadable"]
    assert str(tmp_path / "no\x1b[31mtes.txt") in unreadable
    assert main(["plan", "--collection", str(tmp_path), *SMALL]) == 0
    output = capsys.readouterr().out
    assert "2 unreadable, such as " in output
    assert "\x1b" not in output  # a name is text, never an order to the terminal
    (missing,) = [probe for probe in of(str(tmp_path / "list.csv"), 10).probes if probe.outcome == "missing"]
    assert (missing.uri, missing.size_bytes, missing.num_kept) == (str(tmp_path / "not_there.mp4"), 0, 0)


def test_a_video_in_a_bucket_is_probed_as_on_disk_and_its_size_is_found(world: World, s3_bucket: str) -> None:
    path = min((world.folder / "videos").iterdir())
    files.commit_bytes(f"{s3_bucket}/planned/v/{path.name}", path.read_bytes())
    files.commit_bytes(f"{s3_bucket}/planned/list.csv", f"uri\nv/{path.name}\n".encode())
    (there,) = list_videos(f"{s3_bucket}/planned/list.csv")
    here = dict.fromkeys(COLLECTION.names) | {"video_id": there["video_id"], "uri": str(path)}
    found, expected = (probe(video, {BASE: WORLD_SPEC}, ShardingConfig()) for video in (there, here))
    assert found.uri == there["uri"]
    for name in ("outcome", "size_bytes", "duration_s", "num_kept", "tar_bytes"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.size_bytes == path.stat().st_size


def test_what_cutting_took_is_counted_from_its_tables_tars_and_usage(metered: Workspace, world: World) -> None:
    took = actual(metered, [BASE])
    tars = sum(path.stat().st_size for path in Path(metered.uri(CLIPS_FOLDER)).glob("*.tar"))
    assert took.pop("video_hours") == pytest.approx(12 * 5 / 3600, rel=0.02)
    took.pop("read_bytes", None)
    # no CPU hours: the usage of one part of two is not the whole
    assert took == {"videos": 12, "usable_videos": 12, "clips": 48, "tar_bytes": tars, "parts": 2}
    Metered(metered, "shard-base", ShardPart(metered, {BASE: world.spec}, ShardingConfig()))("00001")
    spent = (
        metered.read(usage_folder("shard-base"), part, USAGE).column("cpu_s")[0].as_py() for part in ("00000", "00001")
    )
    assert actual(metered, [BASE])["cpu_hours"] == pytest.approx(sum(spent) / 3600)


def test_parts_that_are_not_cut_and_their_leftovers_are_not_counted(workspace: Workspace) -> None:
    Path(workspace.part_uri(VIDEOS_FOLDER, "00001")).unlink()  # the last file of a part: it is not finished
    took = actual(workspace, [BASE])
    assert (took["parts"], took["videos"], took["clips"]) == (1, 6, 24)
    assert took["tar_bytes"] == Path(workspace.tar_uri(CLIPS_FOLDER, "00000")).stat().st_size
    assert actual(Workspace(workspace.uri("elsewhere")), [BASE])["parts"] == 0


def test_the_command_prints_ranges_cost_and_cores_and_writes_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(world.folder)
    arguments = ["--collection", str(world.folder / "videos"), "--sample", "6", "--deadline", "1h", *SMALL]
    assert main(["plan", *arguments]) == 0
    output = capsys.readouterr().out
    rows = cells(output)
    assert rows["videos"] == ["12", ""]
    assert rows["size of clips"][1].count(" to ") == 1
    for label in ("usable videos", "length of video", "CPU time", "USD for cores", "USD per month of storage"):
        assert label in rows
    assert "USD for reading" not in rows  # it costs nothing in the examples
    assert "Prices: example numbers" in output
    assert "Sample: 6 of 12 videos, 6 usable; cut in " in output
    assert "Deadline 1h: 1 or more cores; 1 take up to" in output
    assert "actual" not in output
    assert content(world.folder) == before


def test_the_command_puts_the_users_prices_and_the_actual_figures_beside_the_estimate(
    metered: Workspace, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('currency = "EUR"\nsource = "our own"\nper_core_hour = 0\nper_gb_month = 1000\nper_gb_read = 0\n')
    before = content(tmp_path)
    root = ["--root", metered.root, "--set", "collecting.videos_per_part=6", *SMALL]
    arguments = ["--collection", world.collection, "--sample", "12", "--prices", str(prices)]
    assert main(["plan", *arguments, *root]) == 0
    output = capsys.readouterr().out
    rows = cells(output)
    assert rows["clips"] == ["48", "", "48"]
    assert rows["parts"] == ["2", "", "2"]
    assert rows["CPU time"][2] == "-"  # of one part of two
    gigabytes = actual(metered, [BASE])["tar_bytes"] / 1e9
    assert rows["EUR per month of storage"][2] == format_number(1000 * gigabytes)
    assert "EUR for cores" not in rows
    assert "Prices: our own." in output
    assert content(tmp_path) == before


def test_a_published_list_is_planned_with_media_that_lie_elsewhere(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(path.name for path in (world.folder / "videos").iterdir())[:2]
    rows = [f"videos/{names[0]},0,2", f"videos/{names[0]},3,5", f"videos/{names[1]},1,3"]
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
    arguments = ["--collection", str(tmp_path / "list.csv"), "--media", str(world.folder), *SMALL]
    assert main(["plan", *arguments]) == 0
    output = cells(capsys.readouterr().out)
    assert output["videos"][0] == "2"
    assert output["clips"][0] == "3"  # one of each span


def test_a_sample_of_one_has_no_upper_end_and_no_cores_for_a_deadline(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--collection", world.collection, "--deadline", "1h", *SMALL]
    assert main(["plan", *arguments, "--sample", "1"]) == 0
    output = capsys.readouterr().out
    assert cells(output)["clips"] == ["48", "4 or more"]  # the clips of the sample itself
    assert output.endswith("so small a sample gives no upper end of the CPU time. Use a larger --sample.\n")


def test_a_workspace_without_finished_parts_has_actual_figures_of_zero_and_is_not_created(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "new"
    assert main(["plan", "--collection", world.collection, "--root", str(root), "--sample", "2", *SMALL]) == 0
    assert cells(capsys.readouterr().out)["parts"][2] == "0"
    assert not root.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--deadline", "soon"], "deadline soon: expected a time"),
        (["--prices", "nothing.toml"], "nothing.toml: cannot be read"),
        (["--collection", "nothing"], "collection nothing: found nothing"),
        (["--set", "clips.base.clip=1"], "clips.base.clip=1"),
    ],
)
def test_what_cannot_be_planned_is_refused_before_a_video_is_cut(
    arguments: list[str], says: str, world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.estimate.estimating.probe_all", None)
    collection = [] if "--collection" in arguments else ["--collection", world.collection]
    assert main(["plan", *collection, *arguments]) == 2
    assert says in capsys.readouterr().err


def test_costs_are_quantities_times_prices_at_both_ends_and_free_quantities_have_no_row() -> None:
    ranges = dict.fromkeys(("videos", "usable_videos", "video_hours", "clips", "parts"), Range.exact(1.0))
    ranges |= {"cpu_hours": Range(8, 6, math.inf), "read_bytes": Range.exact(3e9), "tar_bytes": Range(4e9, 2e9, 5e9)}
    prices = Prices(currency="EUR", source="a test", per_core_hour=0.5, per_gb_month=0.25, per_gb_read=2.0)
    rows = {label: cells for label, *cells in plan_table.table(Estimate(ranges, []), {"read_bytes": 6e9}, prices)}
    assert rows["size of clips"] == ["4 GB", "2 GB to 5 GB", "-"]
    assert rows["EUR for cores"] == ["4", "3 or more", "-"]
    assert rows["EUR for reading"] == ["6", "", "12"]
    assert rows["EUR per month of storage"] == ["1", "0.5 to 1.25", "-"]
    free = Prices(currency="EUR", source="a test", per_core_hour=0, per_gb_month=0, per_gb_read=0)
    assert not any(label.startswith("EUR") for label, *_ in plan_table.table(Estimate(ranges, []), {}, free))


def test_a_deadline_shorter_than_a_part_is_answered_with_the_hours_of_a_part() -> None:
    found = Estimate({"cpu_hours": Range(80, 70, 100), "videos": Range.exact(1000)}, [])
    assert plan_table.deadline_note(40, found, 100) == "3 or more cores; 3 take up to 40 h."  # ten parts of 10 h
    message = plan_table.deadline_note(4, found, 100)
    assert "a part of 100 videos takes up to 10 h" in message
    assert message.endswith("Lower collecting.videos_per_part.")
