"""The data card: every number is one of the tables, what cannot be traced is refused, names of others stay text."""

import doctest
import html
import json
import re
import shutil
import statistics
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml
from conftest import WORLD_SPEC
from markdown_it import MarkdownIt

from pipeline.errors import ConfigError, DataError
from pipeline.formatting import format_hours, format_number
from pipeline.reports import data_card
from pipeline.reports.card_facts import gather
from pipeline.reports.card_figures import Figure
from pipeline.reports.card_rules import RULES
from pipeline.reports.card_tables import write_tables
from pipeline.reports.data_card import make_card
from pipeline.reports.querying import query
from pipeline.selection import filtering
from pipeline.selection.filtering import FilteringConfig
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.materialized import MATERIALIZED
from schemas.reports import SUMMARY
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS
from tests.helpers.command import earshot
from tests.helpers.shuffled_shards import EVIL, LICENSES, make_shards, median_loudness, state_licenses

WRITTEN = ("README.md", "croissant.json", "clips.parquet", "videos.parquet")


@pytest.fixture(scope="module")
def finished(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Half of the world's clips, the louder ones, as shards with a card. Read it only."""
    workspace = Workspace(str(tmp_path_factory.mktemp("card") / "workspace"))
    shutil.copytree(world.workspace.root, workspace.root)
    state_licenses(workspace)
    make_shards(workspace, WORLD_SPEC, min_loudness_lufs=median_loudness(workspace))
    code, out, err = earshot("card", "--root", workspace.root, "--selection", "s", "--creator", EVIL)
    assert code == 0, err
    assert "card: 24 clips of " in out
    return workspace


@pytest.fixture
def shards(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy without a card, to damage."""
    shutil.copytree(finished.root, tmp_path / "copy")
    for name in WRITTEN:
        (tmp_path / "copy" / "materialized" / "s" / name).unlink()
    return Workspace(str(tmp_path / "copy"))


def card_of(workspace: Workspace) -> str:
    return files.read_bytes(workspace.uri("materialized/s/README.md")).decode()


def front_matter(workspace: Workspace) -> dict[str, Any]:
    return yaml.safe_load(card_of(workspace).split("---\n")[1])


def tables_of(text: str) -> dict[str, list[list[str]]]:
    """Cells of each table of the page, without marks of Markdown, by the title of its first column."""
    found: dict[str, list[list[str]]] = {}
    page = MarkdownIt("commonmark").enable("table").render(text.split("---\n", 2)[2])
    for table in re.findall(r"<table>(.*?)</table>", page, re.DOTALL):
        title, *_ = re.findall(r"<th[^>]*>(.*?)</th>", table)
        rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in table.split("<tr>")[2:]]
        found[title] = [[html.unescape(cell) for cell in row] for row in rows]
    return found


def test_the_counts_of_the_card_are_those_of_the_tables_as_plain_python_counts_them(finished: Workspace) -> None:
    found = tables_of(card_of(finished))
    kept = [row for row in finished.read_all("selections/s", SELECTIONS).to_pylist() if row["kept"]]
    decided = finished.read_all("selections/s", SELECTIONS).to_pylist()
    clips = {row["clip_id"]: row for row in finished.read_all(CLIPS_FOLDER, CLIPS).to_pylist()}
    videos = {row["video_id"]: row for row in finished.read_all(VIDEOS_FOLDER, VIDEOS).to_pylist()}

    def amounts(rows: list[dict[str, Any]]) -> list[str]:
        seconds = sum(row["unique_s"] for row in rows)
        return [str(len(rows)), str(len({row["video_id"] for row in rows})), f"{seconds:.0f} s"]

    assert len(kept) == 24
    splits = {row[0]: row[1:4] for row in found["split"]}
    assert splits.pop("all") == amounts(kept)
    assert splits == {name: amounts([row for row in kept if row["split"] == name]) for name in splits}
    assert {row["split"] for row in kept} == splits.keys()
    reasons = {row[0]: row[1] for row in found["decision"]}
    assert reasons == {"kept": "24", "too_quiet": "24"}
    assert ["too_quiet", "24"] in [[row[0], row[4]] for row in found["reason"]]
    assert found["outcome"] == [["kept", "12"]]
    (limit,) = (row[2] for row in found["reason"] if row[0] == "too_quiet")
    assert limit == f"min_loudness_lufs = {median_loudness(finished)}"
    loudness = [clips[row["clip_id"]]["loudness_lufs"] for row in kept]
    expected = [format_number(f(loudness)) for f in (min, statistics.median, max)] + ["24"]
    assert found["measure"][0] == ["loudness_lufs, LUFS", *expected]
    assert "score" not in [row[0] for row in found["measure"]]  # no model has scored them
    licenses = {row[0]: row[2:4] for row in found["licence"]}
    for stated in LICENSES:
        of = [row for row in kept if videos[row["video_id"]]["license"] == stated]
        name = "none stated" if stated is None else shown_text(stated)
        assert licenses.pop(name) == amounts(of)[:2]
    assert not licenses
    assert len(decided) == 48


def shown_text(text: str) -> str:
    """What a page shows of a text: one line, and a mark for each letter that steers."""
    return " ".join(text.split()).replace("\x1b", "\ufffd").replace("\u202e", "\ufffd")


def test_every_query_that_the_card_names_answers_with_its_numbers(finished: Workspace) -> None:
    text = card_of(finished)
    queries = dict(re.findall(r"^([A-Z][a-z ]+):\n\n```sql\n(.*?)\n```", text, re.DOTALL | re.MULTILINE))
    assert len(queries) == 10
    found = tables_of(text)
    for title, heading in {"Clips by split": "split", "Licences": "licence", "Measures": "measure"}.items():
        cells = {cell for row in found[heading] for cell in row}
        for row in query(finished, queries[title]).to_pylist():
            numbers = {name: value for name, value in row.items() if isinstance(value, int | float) and name != "bytes"}
            shown = {
                format_hours(value) if name == "hours" else format_number(value) for name, value in numbers.items()
            }
            assert len(numbers) >= 4
            assert shown <= cells, title
    for title in queries:
        assert query(finished, queries[title]).num_rows


def test_the_yaml_is_what_the_hub_reads_and_gives_its_splits(finished: Workspace, tmp_path: Path) -> None:
    found = front_matter(finished)
    assert (found["license"], found["size_categories"], found["pretty_name"]) == ("other", ["n<1K"], "s")
    (info,) = found["dataset_info"]
    features = datasets.Features._from_yaml_list(info["features"])
    assert features["flac"] == datasets.Audio(sampling_rate=WORLD_SPEC.sample_rate_hz)
    assert [name for name in features if name.endswith(".jpg")] == [f"{i}.jpg" for i in range(WORLD_SPEC.num_frames)]
    folder = finished.uri("materialized/s")
    features["flac"] = datasets.Value("binary")  # sound needs torchcodec, which needs libraries of ffmpeg
    # compares the counts of the splits with the card's
    loaded = datasets.load_dataset(folder, features=features, cache_dir=str(tmp_path))
    expected = {split["name"]: split["num_examples"] for split in info["splits"]}
    assert {name: len(rows) for name, rows in loaded.items()} == expected
    assert sum(expected.values()) == 24


def test_the_way_to_load_that_the_card_shows_gives_every_clip_with_its_bytes(finished: Workspace) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", card_of(finished), re.DOTALL)
    names: dict[str, Any] = {"folder": finished.uri("materialized/s")}
    exec(code, names)
    rows = {row["clip_id"]: row for row in finished.read_all("materialized/s", MATERIALIZED).to_pylist()}
    seen = []
    for split, samples in names["clips"].items():
        for sample in samples:
            row = rows[sample["__key__"]]
            seen.append(sample["__key__"])
            assert (row["split"], sample["json"]["clip_id"]) == (split, row["clip_id"])
            tar = files.read_bytes(finished.tar_uri("materialized/s", row["part"]), row["tar_offset"], row["tar_bytes"])
            assert sample["flac"] in tar
            assert sample["0.jpg"] in tar
    assert sorted(seen) == sorted(rows)


def test_names_of_others_are_text_on_the_page_and_in_the_manifest(finished: Workspace) -> None:
    text = card_of(finished)
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(text.split("---\n", 2)[2])
    tags = set(re.findall(r"<(/?[a-z0-9]+)", page))
    assert not tags & {"img", "a", "script", "b"}
    assert "<em>" not in page
    assert "no heading</h2>" not in page
    cells = [row[0] for row in tables_of(text)["licence"]]
    assert shown_text(EVIL) in cells
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    manifest = files.read_bytes(finished.uri("materialized/s/croissant.json")).decode()
    assert "<" not in manifest
    assert json.loads(manifest)["creator"]["name"] == EVIL  # as it is: JSON has no marks


def test_the_card_has_what_the_model_that_scored_the_clips_reaches(shards: Workspace) -> None:
    assert "reaches on held-out videos" not in make_card(gather(shards, "s"), [])
    shards.begin("scores/m", {}, {})
    record = shards.stage("selections/s")
    record["inputs"]["scores/m"] = "x"
    files.commit_bytes(shards.record_uri("selections/s"), json.dumps(record).encode())
    figures = [("auc", 0.75, 0.625, 0.875), ("other", float("nan"), None, None), ("third", 0.5, None, None)]
    names = ("metric", "value", "low", "high")
    rows = [dict(zip(names, of, strict=True)) | {"eval_set": "pairs", "unit": "1", "n": 8} for of in figures]
    for model in ("m", "another"):
        shards.commit(f"summary/{model}/-", "00000", from_rows(rows, SUMMARY, "here"), SUMMARY)
    found = tables_of(make_card(gather(shards, "s"), []))["model"]
    assert found == [["m", "pairs", "auc", "0.75", "0.625 to 0.875", "8"], ["m", "pairs", "third", "0.5", "-", "8"]]


def test_a_command_with_names_of_others_stays_a_command(finished: Workspace) -> None:
    command = "earshot filter --set 'filtering.licenses=a\n```\n<img src=x onerror=alert(1)>\n````'"
    text = make_card(gather(finished, "s"), [command])
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(text.split("---\n", 2)[2])
    assert "<img" not in page
    assert html.escape(command, quote=False) in page.replace("&quot;", '"')


def test_the_same_shards_have_the_same_card_elsewhere_and_again(
    finished: Workspace, shards: Workspace, s3_bucket: str
) -> None:
    remote = Workspace(f"{s3_bucket}/card")
    for entry in files.list_files(shards.root):
        files.commit_bytes(remote.uri(files.relative(entry.uri, shards.root)), files.read_bytes(entry.uri))
    expected = [files.read_bytes(finished.uri("materialized/s", name)) for name in WRITTEN]
    for workspace in (shards, shards, remote):
        code, _, err = earshot("card", "--root", workspace.root, "--selection", "s", "--creator", EVIL)
        assert code == 0, err
        assert [files.read_bytes(workspace.uri("materialized/s", name)) for name in WRITTEN] == expected


def test_without_shards_the_error_names_the_command(shards: Workspace) -> None:
    code, _, err = earshot("card", "--root", shards.root, "--selection", "other")
    assert (code, "Run `earshot materialize --selection other --root" in err) == (2, True)
    shards.begin("materialized/begun", {}, {})
    assert earshot("card", "--root", shards.root, "--selection", "begun")[0] == 2
    shards.begin("materialized/none", {}, {})
    shards.finish("materialized/none")
    code, _, err = earshot("card", "--root", shards.root, "--selection", "none")
    assert (code, "0 clips" in err) == (2, True)


def drop_video(workspace: Workspace) -> None:
    (kept, *_) = workspace.read_all("materialized/s", MATERIALIZED)["video_id"].to_pylist()
    for part in workspace.parts(VIDEOS_FOLDER):
        rows = [row for row in workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist() if row["video_id"] != kept]
        workspace.commit(VIDEOS_FOLDER, part, from_rows(rows, VIDEOS, part), VIDEOS)


def change_selection(workspace: Workspace, **columns: Any) -> None:
    """Change the row of the first clip of `selections`."""
    rows = workspace.read("selections/s", "00000", SELECTIONS).to_pylist()
    at = next(i for i, row in enumerate(rows) if row["kept"])
    rows[at] |= columns
    workspace.commit("selections/s", "00000", from_rows(rows, SELECTIONS, "here"), SELECTIONS)


def no_record(workspace: Workspace) -> None:
    Path(workspace.record_uri("clips/base")).unlink()


def cut_tar(workspace: Workspace) -> None:
    path = Path(workspace.tar_uri("materialized/s", "test-00000"))
    path.write_bytes(path.read_bytes()[:-10240])


DAMAGES = {
    "a video that has no row": (drop_video, "whose video videos/base does not have: their figures cannot be traced"),
    "a clip that is not kept": (lambda w: change_selection(w, kept=False), "does not keep in their split"),
    "a clip of another split": (lambda w: change_selection(w, split="nowhere"), "does not keep in their split"),
    "rights that changed": (lambda w: change_selection(w, kept=False, reason="rights_changed"), "rights have changed"),
    "a decision that was changed": (lambda w: change_selection(w, reason="whim"), "the selection keeps 23"),
    "seconds that are no number": (lambda w: change_selection(w, unique_s=float("nan")), "cannot be traced"),
    "a tar that is missing": (lambda w: Path(w.uri("materialized/s/test-00000.tar")).unlink(), "00.tar: missing"),
    "a tar without rows": (lambda w: Path(w.uri("materialized/s/x.tar")).touch(), "x.tar: a tar without rows"),
    "a tar that is cut": (cut_tar, "expected [0-9]+ by its rows"),
    "settings that nobody wrote down": (no_record, "clips/base: has no record"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_figure_that_cannot_be_traced_is_refused_and_nothing_is_written(shards: Workspace, damage: str) -> None:
    change, message = DAMAGES[damage]
    change(shards)
    with pytest.raises((DataError, ConfigError), match=message):
        gather(shards, "s")
    code, _, err = earshot("card", "--root", shards.root, "--selection", "s")
    assert code in (1, 2)
    assert err.startswith("earshot: ")
    assert not [name for name in WRITTEN if files.exists(shards.uri("materialized/s", name))]


def test_a_rule_that_the_card_cannot_describe_is_refused(shards: Workspace) -> None:
    rows = shards.read("selections/s", "00000", SELECTIONS).to_pylist()
    rows = [row | ({} if row["kept"] else {"reason": "whim"}) for row in rows]
    shards.commit("selections/s", "00000", from_rows(rows, SELECTIONS, "here"), SELECTIONS)
    record = shards.stage("selections/s")
    counts = shards.read_all("selections/s", SELECTIONS)["reason"].to_pylist()
    record["reasons"] = {reason: counts.count(reason) for reason in sorted(set(counts))}
    files.commit_bytes(shards.record_uri("selections/s"), json.dumps(record).encode())
    with pytest.raises(DataError, match="refused as whim, a rule that this version does not know"):
        gather(shards, "s")


def test_a_number_without_a_source_cannot_be_shown(finished: Workspace) -> None:
    assert data_card._show(Figure(3, "x")) == "3"
    for value in (3, 0.5, None, True):
        with pytest.raises(DataError, match="cannot be traced"):
            data_card._show(value)
    facts = gather(finished, "s")
    facts.rows["splits"][0]["clips"] = 24  # the same number, from nowhere
    with pytest.raises((DataError, AttributeError)):
        make_card(facts, [])


def test_the_files_of_rows_have_every_clip_and_video_once_in_the_order_of_the_shards(finished: Workspace) -> None:
    import pyarrow.parquet as pq

    folder = Path(finished.uri("materialized/s"))
    clips, videos = (pq.read_table(folder / f"{name}.parquet") for name in ("clips", "videos"))
    rows = finished.read_all("materialized/s", MATERIALIZED).sort_by(
        [("part", "ascending"), ("tar_offset", "ascending")]
    )
    assert clips.select(rows.column_names[:6]).to_pylist() == rows.select(rows.column_names[:6]).to_pylist()
    stated = {row["video_id"]: row for row in finished.read_all(VIDEOS_FOLDER, VIDEOS).to_pylist()}
    for row in clips.to_pylist():
        assert (row["license"], row["author"]) == tuple(stated[row["video_id"]][name] for name in ("license", "author"))
    assert videos["video_id"].to_pylist() == sorted(set(clips["video_id"].to_pylist()))
    assert videos.to_pylist() == [{name: stated[row["video_id"]][name] for name in row} for row in videos.to_pylist()]
    assert clips.schema.field("loudness_lufs").metadata[b"unit"] == b"LUFS"


def test_row_groups_do_not_depend_on_how_rows_come(shards: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    from pipeline.reports import card_tables

    monkeypatch.setattr(card_tables, "ROWS", 7)
    clips, _ = write_tables(shards, "s")
    path = Path(shards.uri("materialized/s/clips.parquet"))
    groups = pq.ParquetFile(path).metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [7, 7, 7, 3]
    assert (clips.num_rows, clips.size_bytes) == (24, path.stat().st_size)


def test_every_rule_of_filtering_is_described_and_every_field_belongs_to_one() -> None:
    assert filtering.__doc__
    named = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b|\blicense\b|\bsilences\b|\bclipped\b", filtering.__doc__))
    assert RULES.keys() <= named
    fields = {field for _, of in RULES.values() for field in of}
    assert fields | {"rules"} == set(FilteringConfig.__dataclass_fields__)  # those of `rules` have reasons of their own
    assert tuple(RULES) == filtering.REASONS


def test_examples_of_the_docstrings() -> None:
    found = doctest.testmod(data_card)
    assert (found.failed, found.attempted > 0) == (0, True)
