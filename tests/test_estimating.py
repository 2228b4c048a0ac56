"""Planning: what cutting will take, exactly if all videos are sampled, beside what it took; nothing is written."""

import dataclasses
import doctest
import math
import shutil
from pathlib import Path

import pytest
from conftest import WORLD_SPEC, World

from jobs import plan
from jobs.cli import main
from jobs.console import plan_table
from pipeline.clips.sharding import ShardingConfig, ShardPart
from pipeline.collection.listing import list_videos
from pipeline.estimate.estimating import Actual, Estimate, Probe, Sample, actual, draw, estimate, probe, probe_all
from pipeline.estimate.pricing import Prices, Quantities
from pipeline.estimate.stratified_sampling import Range, Stratum
from pipeline.estimate.usage import Metered, usage_folder
from pipeline.storage import files
from pipeline.storage.workspace import CLIPS_FOLDER, VIDEOS_FOLDER, Workspace
from schemas.usage import USAGE
from schemas.videos import COLLECTION

SMALL = ["--set", "clips.base.clip_s=2", "--set", "clips.base.frame_height=32", "--set", "clips.base.frame_width=32"]
TAR_END_BYTES = 10240  # tarfile ends each tar with zeros, up to a multiple of this


def of(collection: str, num_sampled: int) -> Estimate:
    sample = draw(list_videos(collection), num_sampled)
    output: list[int] = []
    probes = probe_all(sample, WORLD_SPEC, ShardingConfig(), lambda steps, note: output.append(steps))
    assert sum(output) == sample.num_sampled
    return estimate(sample, probes, videos_per_part=5)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def cells(output: str) -> dict[str, list[str]]:
    """The printed table: cells by the name of their row."""
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if "│" in line]
    return {name: values for name, *values in lines}


@pytest.fixture
def metered(workspace: Workspace, world: World) -> Workspace:
    """The world's workspace, its first part cut again with its costs, its second without."""
    Metered(workspace, "shard", ShardPart(workspace, world.spec, ShardingConfig()))("00000")
    return workspace


@pytest.mark.parametrize("is_folder", [True, False])
def test_an_estimate_from_all_videos_is_what_cutting_them_made(is_folder: bool, world: World) -> None:
    found = of(str(world.folder / "videos") if is_folder else world.collection, 12)
    took = actual(world.workspace)
    assert took is not None
    for name in ("videos", "usable", "clips"):
        assert found.ranges[name] == (getattr(took.quantities, name),) * 3
    assert found.ranges["clips"].value == 48
    assert found.ranges["parts"] == (3, 3, 3)
    for name in ("hours", "gigabytes_read"):  # no doubt where nothing is left out
        assert found.ranges[name].low == found.ranges[name].value == found.ranges[name].high
    assert found.expected().hours == pytest.approx(took.quantities.hours)
    sizes = [path.stat().st_size for path in (world.folder / "videos").iterdir()]
    assert found.expected().gigabytes_read == pytest.approx(sum(sizes) / 1e9)
    missing_bytes = (took.quantities.gigabytes - found.expected().gigabytes) * 1e9
    assert 2 * 1024 <= round(missing_bytes) <= 2 * TAR_END_BYTES
    written = found.ranges["gigabytes"]
    assert (written.low, written.high) == pytest.approx((written.value, written.value + 3 * TAR_END_BYTES / 1e9))
    spent = found.ranges["cpu_hours"]
    assert 0 < spent.value < 12 * 5 / 3600  # faster than it plays
    # a time is not known to better than 30 %, and each of the 3 parts may start a worker
    assert (spent.low, spent.high) == pytest.approx((0.7 * spent.value, 1.3 * spent.value + 3 * 0.5 / 3600))


@pytest.mark.parametrize("is_folder", [True, False])
def test_an_estimate_from_some_videos_holds_what_all_of_them_gave(is_folder: bool, world: World) -> None:
    found = of(str(world.folder / "videos") if is_folder else world.collection, 6)
    whole = of(world.collection, 12).expected()
    assert len(found.probes) == 6
    assert found.expected().clips == 48  # they all give four
    written = found.ranges["gigabytes"]
    assert written.low < written.high
    assert written.holds(whole.gigabytes)
    read = found.ranges["gigabytes_read"]  # exact where the listing says the sizes
    assert (read.low == read.high) == is_folder
    assert read.holds(whole.gigabytes_read)


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

    sample = Sample(103, None, [Stratum(100, [{}, {}]), Stratum(3, [{}, {}, {}])])
    found = estimate(sample, [[probed(2), probed(0)], [probed(9)] * 3], videos_per_part=10)
    expected = found.expected()
    assert (expected.usable, expected.clips) == (100 / 2 + 3, 100 * 1 + 27)
    assert (expected.hours, expected.cpu_hours, expected.parts) == pytest.approx((1.03, 0.103, 11))
    assert found.ranges["usable"].high == 103
    assert found.low().clips == 29  # what the sample alone holds
    assert {reason: len(probes) for reason, probes in found.unusable().items()} == {"silent": 1}


def test_what_cannot_be_used_is_told_with_its_reason_and_an_example(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, path in enumerate(sorted((world.folder / "videos").iterdir())[:2]):
        shutil.copy(path, tmp_path / f"{number}{path.suffix}")
    (tmp_path / "no\x1b[31mtes.txt").write_text("not a video")
    (tmp_path / "list.csv").write_text("uri\n0.mp4\nnot_there.mp4\n")
    found = of(str(tmp_path), 10)
    assert (found.expected().usable, found.expected().clips) == (2, 8)
    (examples,) = [probes for reason, probes in found.unusable().items() if reason == "unreadable"]
    assert str(tmp_path / "no\x1b[31mtes.txt") in [example.uri for example in examples]
    assert main(["plan", "--collection", str(tmp_path), *SMALL]) == 0
    output = capsys.readouterr().out
    assert "2 unreadable, such as " in output
    assert "\x1b" not in output  # a name is text, never an order to the terminal
    (missing,) = of(str(tmp_path / "list.csv"), 10).unusable()["missing"]
    assert (missing.uri, missing.size_bytes, missing.num_kept) == (str(tmp_path / "not_there.mp4"), 0, 0)


def test_a_video_in_a_bucket_is_probed_as_on_disk_and_its_size_is_found(world: World, s3_bucket: str) -> None:
    path = min((world.folder / "videos").iterdir())
    files.commit_bytes(f"{s3_bucket}/planned/v/{path.name}", path.read_bytes())
    files.commit_bytes(f"{s3_bucket}/planned/list.csv", f"uri\nv/{path.name}\n".encode())
    (there,) = list_videos(f"{s3_bucket}/planned/list.csv")
    here = dict.fromkeys(COLLECTION.names) | {"video_id": there["video_id"], "uri": str(path)}
    found, expected = (probe(video, WORLD_SPEC, ShardingConfig()) for video in (there, here))
    assert found.uri == there["uri"]
    for name in ("outcome", "size_bytes", "duration_s", "num_kept", "tar_bytes"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.size_bytes == path.stat().st_size


def test_what_cutting_took_is_counted_from_its_tables_tars_and_costs(metered: Workspace, world: World) -> None:
    took = actual(metered)
    assert took is not None
    tars = sum(path.stat().st_size for path in Path(metered.uri(CLIPS_FOLDER)).glob("*.tar"))
    spent_s = metered.read(usage_folder("shard"), "00000", USAGE).column("cpu_s")[0].as_py()
    assert took.num_pending == 0
    assert (took.num_metered, took.known_cpu_hours) == (1, pytest.approx(spent_s / 3600))
    assert math.isnan(took.quantities.cpu_hours)  # one part of two is not the whole
    found = dataclasses.replace(took.quantities, cpu_hours=0.0, gigabytes_read=0.0, hours=0.0)
    assert found == Quantities(
        videos=12, usable=12, hours=0.0, clips=48, gigabytes=tars / 1e9, gigabytes_read=0.0, cpu_hours=0.0, parts=2
    )
    assert took.quantities.hours == pytest.approx(12 * 5 / 3600, rel=0.02)
    Metered(metered, "shard", ShardPart(metered, world.spec, ShardingConfig()))("00001")
    again = actual(metered)
    assert again is not None
    assert again.quantities.cpu_hours == again.known_cpu_hours > took.known_cpu_hours


def test_parts_that_are_not_cut_are_counted_and_their_leftovers_are_not(workspace: Workspace) -> None:
    Path(workspace.uri(VIDEOS_FOLDER, "00001.parquet")).unlink()  # the last file of a part: it is not finished
    took = actual(workspace)
    assert took is not None
    assert (took.num_pending, took.quantities.parts, took.quantities.videos, took.quantities.clips) == (1, 1, 6, 24)
    assert took.quantities.gigabytes == Path(workspace.uri(CLIPS_FOLDER, "00000.tar")).stat().st_size / 1e9
    assert actual(Workspace(workspace.uri("elsewhere"))) is None


def test_the_command_tells_ranges_cost_and_cores_and_writes_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(world.folder)
    arguments = ["--collection", str(world.folder / "videos"), "--sample", "6", "--deadline", "1h", *SMALL]
    assert main(["plan", *arguments]) == 0
    output = capsys.readouterr().out
    for words in (
        "usable videos",
        "minutes of video",
        "MB of clips",
        "CPU seconds",
        "USD, once",
        " to ",
        "example numbers",
    ):
        assert words in output
    assert "Sample: 6 of 12 videos; 6 are usable." in output
    assert "Deadline 1h, at the upper end of the CPU time: 1 core, in" in output
    assert "actual" not in output
    assert content(world.folder) == before


def test_the_command_puts_the_users_prices_and_the_run_beside_the_estimate(
    metered: Workspace, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(
        'currency = "EUR"\nsource = "our own"\nper_core_hour = 0\nper_gb_month = 1000\nper_gb_read = 0\n'
        "per_1000_puts = 1000\nper_1000_gets = 0\n"
    )
    before = content(tmp_path)
    root = ["--root", metered.root, "--set", "collecting.videos_per_part=6", *SMALL]
    arguments = ["--collection", world.collection, "--sample", "12", "--prices", str(prices)]
    assert main(["plan", *arguments, *root]) == 0
    output = capsys.readouterr().out
    rows = cells(output)
    assert rows["clips"] == ["48", "", "48", "yes"]
    assert rows["parts"] == ["2", "", "2", "yes"]
    assert rows["EUR, once"] == ["10", "", "10", "yes"]  # 2 parts x 5 requests at 1 each
    assert rows["CPU seconds"][2:] == ["-", "-"]
    assert rows["MB of clips"][3] == "yes"
    assert "s of CPU for 1 of 2 parts; the others have no row of usage" in output
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


def test_a_sample_that_tells_no_range_says_so(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--collection", world.collection, "--deadline", "1h", *SMALL]
    assert main(["plan", *arguments, "--sample", "1"]) == 0
    output = capsys.readouterr().out
    assert cells(output)["clips"] == ["48", "4 to ?"]  # what it gave itself, and no upper end
    assert "at the estimate of the CPU time, as so small a sample tells no upper end: 1 core, in" in output
    assert output.endswith(" A larger --sample tells it.\n")
    assert main(["plan", *arguments, "--sample", "3"]) == 0
    assert cells(capsys.readouterr().out)["clips"] == ["48", "all sampled alike"]


def test_the_command_says_that_a_workspace_has_no_run_yet(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "new"
    assert main(["plan", "--collection", world.collection, "--root", str(root), "--sample", "2", *SMALL]) == 0
    assert f"nothing has been cut in {root} yet" in capsys.readouterr().out
    assert not root.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--deadline", "soon"], "--deadline soon: expected a time"),
        (["--prices", "nothing.toml"], "--prices nothing.toml"),
        (["--collection", "nothing"], "--collection nothing"),
        (["--set", "clips.base.clip=1"], "clips.base.clip=1"),
    ],
)
def test_what_cannot_be_planned_is_refused_before_a_video_is_cut(
    arguments: list[str], says: str, world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "probe_all", None)
    collection = [] if "--collection" in arguments else ["--collection", world.collection]
    assert main(["plan", *collection, *arguments]) == 2
    assert says in capsys.readouterr().err


def test_numbers_are_told_in_three_digits_and_counts_whole() -> None:
    values = (0, 12, 1234567, 1234567.8, 98.76, 0.012345, 0.00012345, math.nan, math.inf)
    output = [plan_table.amount(value) for value in values]
    assert output == ["0", "12", "1 234 567", "1 230 000", "98.8", "0.0123", "< 0.01", "-", "?"]
    assert doctest.testmod(plan_table).failed == 0


@pytest.mark.parametrize(
    ("gigabytes", "cpu_hours", "size", "time"),
    [
        (250.0, 3.0, ["GB of clips", "250"], ["CPU hours", "3"]),
        (0.1, 0.1, ["GB of clips", "0.1"], ["CPU hours", "0.1"]),
        (0.042, 0.02, ["MB of clips", "42"], ["CPU minutes", "1.2"]),
        (5.6e-7, 0.0001, ["kB of clips", "0.56"], ["CPU seconds", "0.36"]),
        (0.0, 1e-6, ["GB of clips", "0"], ["CPU seconds", "< 0.01"]),
    ],
)
def test_small_quantities_are_told_in_a_small_unit_and_money_below_a_cent_as_that(
    gigabytes: float, cpu_hours: float, size: list[str], time: list[str]
) -> None:
    exact = dict.fromkeys((field.name for field in dataclasses.fields(Quantities)), Range(1.0, 1.0, 1.0))
    found = Estimate(
        ranges=exact | {"gigabytes": Range(*[gigabytes] * 3), "cpu_hours": Range(*[cpu_hours] * 3)}, probes=[]
    )
    twice = dataclasses.replace(found.expected(), gigabytes=2 * gigabytes, cpu_hours=2 * cpu_hours)
    took = Actual(quantities=twice, num_pending=0, num_metered=1, known_cpu_hours=2 * cpu_hours)
    free = Prices(
        currency="EUR",
        source="a test",
        per_core_hour=0.001,
        per_gb_month=0,
        per_gb_read=0,
        per_1000_puts=0,
        per_1000_gets=0,
    )
    _, rows = plan_table.table(found, took, free)
    output = {label: cells for label, *cells in rows}
    for label, amount in (size, time):
        assert output[label][0] == amount
    if gigabytes:
        assert output[size[0]][3] == "no: +100 %"
        assert output[size[0]][2] == plan_table.amount(2 * float(size[1]))  # both columns in one unit
    assert output["EUR, once"] == ["< 0.01", "", "< 0.01", "yes"]
