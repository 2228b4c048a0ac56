"""What nodes and images are made of: the installer of packages, with no package index asked, and the Dockerfile."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
READ = ("pyproject.toml", "constraints.txt", "cluster/install.sh", "pipeline/media/face_files.py")  # by the installer


def run_installer(folder: Path, kind: str) -> subprocess.CompletedProcess[str]:
    """The installer with a `python3` that only writes down what it is asked for, in place of the real one."""
    python = folder / "bin" / "python3"
    python.parent.mkdir(exist_ok=True)
    python.write_text(
        f"""#!/bin/sh
echo "$@" >>{folder}/asked
if [ "$2" = venv ]; then mkdir -p "$4/bin" && cp "$0" "$4/bin/python"; fi
"""
    )
    python.chmod(0o755)
    return subprocess.run(
        [ROOT / "cluster" / "install.sh", kind, folder / "venv"],
        env={"PATH": f"{python.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("kind", "index"), [("cpu", "https://download.pytorch.org/whl/cpu"), ("gpu", "https://pypi.org/simple")]
)
def test_the_installer_takes_the_build_of_torch_for_the_kind_and_does_nothing_twice(
    tmp_path: Path, kind: str, index: str
) -> None:
    for _ in range(2):
        done = run_installer(tmp_path, kind)
        assert (done.returncode, done.stderr) == (0, "")
    venv, torch, _, others, faces = (tmp_path / "asked").read_text().splitlines()
    assert venv == f"-m venv --without-pip {tmp_path}/venv"
    assert torch.endswith(f"--constraint constraints.txt --index-url {index} torch")
    assert others.endswith(f"--constraint constraints.txt --requirement {tmp_path}/venv/requirements.txt")
    assert faces == f"pipeline/media/face_files.py {tmp_path}/venv"
    assert (tmp_path / "venv" / "installed").read_text() == f"{kind} {versions()}  -\n"
    run_installer(tmp_path, "gpu" if kind == "cpu" else "cpu")
    assert len((tmp_path / "asked").read_text().splitlines()) == 10  # another kind: anew


def versions() -> str:
    read = [ROOT / name for name in READ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in read)).hexdigest()


def test_the_installer_knows_two_kinds(tmp_path: Path) -> None:
    done = run_installer(tmp_path, "tpu")
    assert (done.returncode, done.stderr.endswith("tpu: expected cpu or gpu\n")) == (2, True)


def test_images_are_built_from_what_is_there_and_run_as_a_user_without_rights() -> None:
    lines = (ROOT / "cluster" / "Dockerfile").read_text().splitlines()
    (base,) = [line.partition("=")[2] for line in lines if line.startswith("ARG PYTHON=")]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", base)
    stages = ["${PYTHON}"]
    for line in lines:
        instruction, *words = line.split() or [""]
        if instruction == "FROM":
            assert words[0] in stages
            stages.append(words[2])
        elif instruction == "COPY" and words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in stages
        elif instruction == "COPY":
            assert all((ROOT / source).exists() for source in words[:-1]), line
    assert {"cpu", "gpu"} <= set(stages)
    assert [line for line in lines if line.startswith("USER ")] == ["USER 1000:1000"]  # in the base of both
    assert not re.search(r"apt|gcc|build-essential|curl", "\n".join(line for line in lines if line[:1] != "#"))
