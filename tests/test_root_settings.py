"""Which settings hold: the root's, a stage's own, those that are given now, and those of another version."""

import json
from pathlib import Path

import pytest

from jobs.console.remedies import explain
from jobs.console.session import open_session
from pipeline.errors import ConfigError
from pipeline.storage.layout import SETTINGS_FILE


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A root whose selection `s` was begun with two settings and a seed of its own."""
    session = open_session(str(tmp_path), settings=["filtering.min_score=0.5", "filtering.top_clips=9"], seed=3)
    session.workspace.begin("selections/s", {"filtering": session.config.filtering, "seed": 3}, {})
    other = open_session(str(tmp_path))
    with other.begin("clips/base", {}, {}, needs_ray=False):
        return str(tmp_path)


def filtering(root: str, **options: object) -> tuple[float, int | None, int]:
    session = open_session(root, **options).resume("selections/s")  # type: ignore[arg-type]
    return session.config.filtering.min_score, session.config.filtering.top_clips, session.seed


def test_a_stage_that_was_begun_keeps_its_settings_and_what_is_given_now_goes_before(root: str) -> None:
    assert open_session(root).config.filtering.top_clips is None
    assert filtering(root) == (0.5, 9, 3)
    assert filtering(root, settings=["filtering.top_clips=8"]) == (0.5, 8, 3)
    assert filtering(root, settings=["mixing.max_examples=1"], seed=4) == (0.5, 9, 4)
    assert filtering(root, preset_name="base") == (0.8, None, 3)  # the whole config was given now
    assert open_session(root).resume("selections/other") == open_session(root)


def test_a_model_keeps_the_settings_of_its_learner(tmp_path: Path) -> None:
    session = open_session(str(tmp_path), settings=["separation.mixtures.crop_frames=3"])
    job = {"learner": "separation", "separation": session.config.separation, "splitting": session.config.splitting}
    session.workspace.begin("models/m", job, {})
    resumed = open_session(str(tmp_path)).resume("models/m")
    assert resumed.config == session.config != open_session(str(tmp_path)).config


def said_of(capsys: pytest.CaptureFixture[str], root: str, **options: object) -> str:
    filtering(root, **options)
    return capsys.readouterr().err


def test_settings_that_a_stage_keeps_and_that_were_not_given_now_are_printed_in_one_line(
    root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = "selections/s: goes on with its own "
    assert said_of(capsys, root) == f"{own}filtering.min_score=0.5, filtering.top_clips=9, seed=3\n"
    assert said_of(capsys, root, settings=["filtering.min_score=0.7"], seed=4) == f"{own}filtering.top_clips=9\n"
    assert said_of(capsys, root, preset_name="base") == f"{own}seed=3\n"
    same = ["filtering.min_score=0.5", "filtering.top_clips=9"]
    assert said_of(capsys, root, settings=same, seed=3) == ""
    open_session(root).resume("selections/other")
    assert capsys.readouterr().err == ""


def test_of_many_settings_a_stage_goes_on_with_five_are_named(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [f"clips.base.{name}=2" for name in ("clip_s", "hop_s")] + ["filtering.licenses=a\x1b[2J"]
    settings += [f"filtering.{name}=1" for name in ("min_score", "keep_fraction", "top_clips", "max_clips_per_video")]
    config = open_session(root, settings=settings).config
    open_session(root).workspace.begin("selections/t", {"filtering": config.filtering, "clips": config.clips}, {})
    open_session(root).resume("selections/t")
    output = capsys.readouterr().err
    assert output.count("=") == 5
    assert output.endswith(" and 2 more\n")
    assert "\x1b" not in output


def of_another_version(root: str, name: str) -> None:
    file = Path(root, name)
    record = json.loads(file.read_text())
    record.get("settings", record)["filtering"]["colour"] = "red"
    file.write_text(json.dumps(record))


def test_a_root_of_another_version_is_refused_and_opens_with_a_preset(root: str) -> None:
    of_another_version(root, SETTINGS_FILE)
    with pytest.raises(ConfigError, match=r"earshot.json: filtering.colour: no such field in this version") as caught:
        open_session(root)
    assert "Give --preset" in explain(caught.value, "filter")
    assert filtering(root, preset_name="tiny")[0] == 0


@pytest.mark.parametrize("name", ["tiny", "base"])
def test_a_learner_that_a_later_version_brings_gets_the_sizes_of_the_roots_preset(tmp_path: Path, name: str) -> None:
    session = open_session(str(tmp_path), preset_name=name, settings=["filtering.top_clips=9"])
    with session.begin("clips/base", {}, {}, needs_ray=False):
        pass
    stored = json.loads((tmp_path / SETTINGS_FILE).read_text())
    del stored["segmentation"]
    (tmp_path / SETTINGS_FILE).write_text(json.dumps(stored))
    assert open_session(str(tmp_path)).config == session.config


def test_a_stage_of_another_version_is_refused_until_its_folder_is_another_or_removed(root: str) -> None:
    def select(name: str, preset_name: str | None = None) -> None:
        session = open_session(root, preset_name).resume(f"selections/{name}")
        with session.begin(f"selections/{name}", {"filtering": session.config.filtering}, {}, needs_ray=False):
            pass

    of_another_version(root, "stages/selections/s.json")
    with pytest.raises(ConfigError, match=r"selection=s: filtering.colour: no such field in this version") as unread:
        select("s")
    with pytest.raises(ConfigError, match=r"filtering.colour: red there, None asked for") as refused:
        select("s", "tiny")
    for caught in (unread, refused):
        assert "Use another --name, or remove that folder" in explain(caught.value, "filter")
    select("other")
    Path(root, "stages/selections/s.json").unlink()
    select("s")


def test_settings_of_every_stage_are_compared_before_any_work(root: str) -> None:
    folders = ("clips/base", "selections/s", "selections/other")
    open_session(root).check(*folders)  # it goes on with its own settings
    open_session(root, settings=["filtering.top_clips=9"]).check(*folders)
    with pytest.raises(ConfigError, match=r"selection=s: .*filtering.top_clips: 9 there, 8 asked for"):
        open_session(root, settings=["filtering.top_clips=8"]).check(*folders)
    with pytest.raises(ConfigError, match="seed: 3 there, 4 asked for"):
        open_session(root, seed=4).check(*folders)
