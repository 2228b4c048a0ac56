"""What ffmpeg must have: the one that is used here has it, and a lesser one is found out."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.clip_specs import ClipSpec, ClipSpecs
from pipeline.media import sandbox
from pipeline.media.decode_command import Pipes, decode_command, sound_filters
from pipeline.media.ffmpeg_features import NEEDED, find_ffmpeg, try_ffmpeg
from pipeline.media.stream_choice import FIRST

Chosen = Callable[[Path | str], None]


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chosen]:
    """choose(path): the ffmpeg of this process."""

    def run(path: Path | str) -> None:
        monkeypatch.setenv("EARSHOT_FFMPEG", str(path))
        sandbox.ffmpeg_path.cache_clear()

    yield run
    sandbox.ffmpeg_path.cache_clear()


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_ffmpeg_of_this_machine_lacks_nothing_and_passes_the_trial() -> None:
    found = try_ffmpeg()
    assert (found["missing"], found["error"]) == ({}, "")
    assert found["version"].startswith("ffmpeg version ")


def test_an_ffmpeg_without_an_encoder_and_a_decoder_is_found_out(tmp_path: Path, choose: Chosen) -> None:
    real = sandbox.ffmpeg_path()
    hides = r"sed -e '/ libx264 /d' -e '/ hevc /d'"
    lesser = f'case "$*" in *libx264*) echo "Unknown encoder" >&2; exit 8;; esac; {real} "$@" | {hides}'
    choose(program(tmp_path / "ffmpeg", lesser))
    found = try_ffmpeg()
    assert found["missing"] == {"encoders": ["libx264"], "decoders": ["hevc"], "demuxers": ["hevc"]}
    assert "could not be encoded: Unknown encoder" in found["error"]


def test_no_ffmpeg_and_another_program_are_said_as_what_they_are(tmp_path: Path, choose: Chosen) -> None:
    choose(tmp_path / "nowhere")
    found = find_ffmpeg()
    assert found == try_ffmpeg()
    assert f"{tmp_path}/nowhere does not start" in found["error"]
    choose(program(tmp_path / "other", "echo hello"))
    assert "is no ffmpeg: it says 'hello" in find_ffmpeg()["error"]


def test_what_is_needed_names_every_filter_of_the_decoding_commands() -> None:
    specs = [spec for spec in vars_of(ClipSpecs()) if spec.num_frames and not spec.exact_frames]
    several = tuple(range(10, 10 + len(specs)))
    command = decode_command(Path("x"), specs, FIRST, Pipes(3, 4, several, several, several), False)
    graphs = [command[index + 1] for index, word in enumerate(command) if word in ("-vf", "-af")]
    padded = ClipSpec(fit="pad")
    graphs += decode_command(Path("x"), [padded], FIRST, Pipes(3, 4, (5,), (6,), (7,)), True)
    graphs.append(sound_filters(16000, 3, 4, "mono|c0=c0"))
    text = re.sub(r"'[^']*'", "", ",".join(graph for graph in graphs if "=" in graph))
    used = set(re.findall(r"(?:^|[,;\]])([a-z]+)(?==|\[|,|;|$)", text))
    assert {"select", "scale", "ametadata", "metadata", "aresample", "setpts"} <= used
    assert used <= set(NEEDED["filters"])


def vars_of(specs: ClipSpecs) -> list[ClipSpec]:
    return [getattr(specs, name) for name in specs.__dataclass_fields__]
