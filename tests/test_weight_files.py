"""Files of public weights: both forms of torch are read, and nothing in a file is ever run."""

import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from pipeline.errors import DataError
from pipeline.hashing import hash_bytes
from pipeline.training.weight_files import read_weights


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def tensors() -> OrderedDict[str, torch.Tensor]:
    return OrderedDict({"conv1.weight": torch.arange(6.0).view(2, 3), "bn1.num_batches_tracked": torch.tensor(3)})


@pytest.mark.parametrize("is_new", [True, False])
def test_tensors_come_back_by_name_with_the_hash_of_the_file(tmp_path: Path, is_new: bool) -> None:
    path = tmp_path / "weights.pth"
    torch.save(tensors(), path, _use_new_zipfile_serialization=is_new)
    found, name = read_weights(str(path))
    assert found.keys() == tensors().keys()
    assert all(torch.equal(found[key], value) for key, value in tensors().items())
    assert name == hash_bytes(path.read_bytes())


@pytest.mark.parametrize("form", ["zip", "old", "pickle"])
def test_a_pickle_is_refused_and_not_run(tmp_path: Path, form: str) -> None:
    path, written = tmp_path / "weights.pth", tmp_path / "written"
    values = {"conv1.weight": torch.zeros(2), "x": Harmful(written)}
    if form == "pickle":
        path.write_bytes(pickle.dumps({"x": Harmful(written)}))
    else:
        torch.save(values, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(DataError, match=r"weights.pth: not a checkpoint of tensors and numbers \("):
        read_weights(str(path))
    assert not written.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.zeros(2), "a Tensor, not tensors by name"),
        ({"network": {"conv1.weight": torch.zeros(2)}}, "network is a dict, not a tensor"),
        ({"step": 3}, "step is a int, not a tensor"),
        ({}, "no tensor in it"),
    ],
)
def test_what_is_not_tensors_by_name_is_said(tmp_path: Path, content: object, words: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(DataError, match=words):
        read_weights(str(path))


@pytest.mark.parametrize("is_new", [True, False])
def test_a_file_cut_short_is_refused(tmp_path: Path, is_new: bool) -> None:
    path = tmp_path / "weights.pth"
    torch.save(tensors(), path, _use_new_zipfile_serialization=is_new)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="not a checkpoint"):
        read_weights(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none"):
        read_weights(str(tmp_path / "none.pth"))


def test_a_model_pt_of_ours_is_weights_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"model": {"audio_tower.bias": torch.ones(2)}}, path)
    assert read_weights(str(path))[0]["audio_tower.bias"].tolist() == [1, 1]
