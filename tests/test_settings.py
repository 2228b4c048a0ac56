"""The list of what `--set` can change: whose values it shows."""

from pathlib import Path

import pytest

from jobs.console.session import open_session
from jobs.settings import command
from pipeline.errors import ConfigError


def values(capsys: pytest.CaptureFixture[str], root: str | None = None, preset: str | None = None) -> list[str]:
    command("filtering.min_score", root, preset)
    return capsys.readouterr().out.splitlines()[:1]


def test_the_values_are_those_of_the_workspace_or_of_the_preset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_session(str(tmp_path), settings=["filtering.min_score=0.25"]).begin(
        "clips/base", {}, {}, needs_ray=False
    ):
        pass
    assert values(capsys, root=str(tmp_path)) == ["filtering.min_score=0.25"]
    assert values(capsys, preset="base") == ["filtering.min_score=0.8"]
    with pytest.raises(ConfigError, match=r"--preset base: found both, expected one"):
        command("filtering", str(tmp_path), "base")


def test_a_folder_that_is_no_workspace_has_no_values(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"root .*typo: no Earshot workspace there"):
        command("filtering", str(tmp_path / "typo"), None)


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        ("fitlering", "filtering"),
        ("min_scor", "filtering.min_score"),
        ("memory_bank.sise", "coincidence.memory_bank.size"),
    ],
)
def test_a_misspelt_group_or_field_gets_the_nearest_name(stage: str, says: str) -> None:
    with pytest.raises(ConfigError, match=rf"no such field\. Expected one of collecting, .* Did you mean {says}\?$"):
        command(stage, None, "tiny")
