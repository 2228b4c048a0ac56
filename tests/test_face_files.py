"""The files of the detector: taken out of a wheel by their hashes, and named where they are missing or others."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipeline.media import face_files
from pipeline.media.face_files import FILES, MESH, faces_folder, main, problems, take_out


def wheel(folder: Path, contents: dict[str, bytes]) -> Path:
    path = folder / "mediapipe-0.10.21-cp311-cp311-any.whl"
    with zipfile.ZipFile(path, "w") as made:
        for name, content in contents.items():
            made.writestr(name, content)
    return path


def test_the_environment_has_the_files_with_their_hashes_and_the_command_leaves_them_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert problems(faces_folder()) == []
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("asked pip for what is there"))
    assert main([]) == 0


def test_files_are_written_only_if_all_have_their_hashes(tmp_path: Path) -> None:
    contents = {member: (faces_folder() / name).read_bytes() for name, (member, _) in FILES.items()}
    folder = tmp_path / "environment" / "faces"
    with pytest.raises(ValueError, match=rf"{MESH}: its SHA-256 is 9f86d0\w+, expected 1055cb"):
        take_out(wheel(tmp_path, contents | {FILES[MESH][0]: b"test"}), folder)
    member = FILES[MESH][0]
    with pytest.raises(ValueError, match=f"no {member} in it"):
        take_out(wheel(tmp_path, {name: content for name, content in contents.items() if name != member}), folder)
    assert not folder.exists()
    take_out(wheel(tmp_path, contents), folder)
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert problems(folder) == []


def test_missing_and_changed_files_are_named(tmp_path: Path) -> None:
    (tmp_path / MESH).write_bytes(b"test")
    found = problems(tmp_path)
    assert [line.partition(": ")[0] for line in found] == [str(tmp_path / name) for name in FILES]
    assert ["not there" in line for line in found] == [True, False, True]


def test_a_wheel_that_cannot_be_downloaded_ends_with_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert main([str(tmp_path)]) == 1
    assert f"{tmp_path}/share/earshot/faces: mediapipe==0.10.21 could not be downloaded" in capsys.readouterr().err


def test_the_file_runs_by_its_path_without_anything_of_ours(tmp_path: Path) -> None:
    alone = tmp_path / "face_files.py"
    alone.write_bytes(Path(face_files.__file__).read_bytes())
    done = subprocess.run([sys.executable, "-I", alone], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")  # this environment has the files
