"""README, guide and CONTRIBUTING: their commands parse, and the files and folders that they name exist."""

import re
import shlex
from pathlib import Path

import pytest

from jobs.cli import COMMANDS, load
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.videos import VIDEOS
from tests.helpers.format_page import PAGE, run_snippet, snippets, with_schemas

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "docs/guide.md", "docs/cluster.md", "docs/format.md")


def earshot_lines(page: str) -> list[str]:
    """Every `earshot ...` line of the page's bash blocks, without its comment."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", "").splitlines() if line.startswith("earshot ")]


@pytest.mark.parametrize("line", sorted({line for page in PAGES for line in earshot_lines(page)}))
def test_every_command_of_the_docs_is_one_that_the_command_line_takes(line: str) -> None:
    _, *arguments = shlex.split(line, comments=True)
    if arguments == ["--help"]:
        return
    load(arguments[0]).make_context(arguments[0], arguments[1:])  # raises UsageError for a wrong option or argument


def test_the_guide_has_a_section_for_every_command() -> None:
    used = {line.split()[1] for line in earshot_lines("docs/guide.md")}
    assert set(COMMANDS) - {"demo"} <= used | {"clean"}  # clean is in the FAQ


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_folder_that_a_page_names_exists(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_0-9]+\.(?:py|toml|yaml))`", text))
    places = ("", "pipeline/", "docs/", "pipeline/synthetic/")
    missing = {name for name in named if not any((ROOT / place / name).exists() for place in places)}
    assert not missing
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert all((ROOT / page).parent.joinpath(link).exists() for link in links), links


def test_the_readme_has_a_row_for_every_room() -> None:
    rows = re.findall(r"^\| ((?:`[a-z]+/` ?)+)\|", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z]+)/`", row)}
    assert named == {path.parent.name for path in ROOT.glob("pipeline/*/__init__.py")}


def test_the_tables_and_the_json_of_the_format_page_are_those_of_the_schemas() -> None:
    assert PAGE.read_text() == with_schemas(PAGE.read_text()), "python -m tests.helpers.format_page writes them anew"


@pytest.mark.parametrize("tool", [tool for tool in snippets(PAGE.read_text()) if tool != "Ray Data"])  # test_shard.py
def test_every_way_to_read_a_workspace_that_the_format_page_shows_finds_all_kept_clips(
    workspace: Workspace, tool: str
) -> None:
    rows = workspace.read_all("clips/base", CLIPS, ["clip_id", "outcome"]).to_pylist()
    kept = {row["clip_id"] for row in rows if row["outcome"] == "kept"}
    assert len(kept) == 48
    found = run_snippet(tool, workspace.root)
    keys = found["keys"] if "keys" in found else list(found["kept"]["clip_id"])
    assert sorted(str(key) for key in keys) == sorted(kept)


def test_what_the_format_page_shows_for_hugging_face_gives_each_clips_attribution(workspace: Workspace) -> None:
    videos = {row["video_id"]: row for row in workspace.read_all("videos/base", VIDEOS).to_pylist()}
    samples = list(run_snippet("Hugging Face datasets", workspace.root)["found"])
    assert len(samples) == 48
    for sample in samples:
        video = videos[sample["json"]["video_id"]]
        assert sample["json"]["clip_id"] == sample["__key__"]
        assert (sample["json"]["uri"], sample["json"]["license"]) == (video["uri"], "CC0")
