"""Samples of features: what is written is read back as it was, and nothing else is read at all."""

import io
import pickle

import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.features.feature_samples import FeatureClip, decode, encode

URI = "/ws/features/events/m/00003.tar"
RNG = np.random.default_rng(0)
VISUAL = RNG.standard_normal((10, 6, 4)).astype(np.float16)
AUDIO = RNG.standard_normal((10, 3)).astype(np.float16)
CLIP = FeatureClip("v_0", VISUAL, AUDIO, {"clip_id": "v_0", "video_id": "v", "start_s": 0.0})


def saved(values: np.ndarray, **options: bool) -> bytes:
    file = io.BytesIO()
    np.save(file, values, **options)
    return file.getvalue()


def test_features_are_read_as_they_were_written_and_as_numpy_reads_them() -> None:
    members = encode(CLIP)
    found = decode("v_0", members, URI)
    np.testing.assert_array_equal(found.visual, VISUAL)
    np.testing.assert_array_equal(found.audio, AUDIO)
    assert (found.key, found.facts) == ("v_0", CLIP.facts)
    assert found.size_bytes == 2 * (10 * 6 * 4 + 10 * 3)
    np.testing.assert_array_equal(np.load(io.BytesIO(members["visual.npy"]), allow_pickle=False), VISUAL)
    assert encode(found) == members


def test_floats_are_rounded_to_the_nearest_half_float() -> None:
    exact = np.array([[1 + 2**-11, 1 + 3 * 2**-11]], np.float32)  # ties go to the even neighbour: steps are 2^-10
    found = decode("v_0", encode(FeatureClip("v_0", VISUAL[:1], exact, {})), URI)
    np.testing.assert_array_equal(found.audio, np.array([[1.0, 1 + 2**-9]], np.float16))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e5])
def test_features_that_no_half_float_holds_are_refused(value: float) -> None:
    audio = AUDIO.astype(np.float32)
    audio[3, 1] = value
    with pytest.raises(DataError, match=rf"v_0: audio\.npy has the feature {value:g}"):
        encode(FeatureClip("v_0", VISUAL, audio, {}))


class Opened(Exception):
    """Raised by what is unpickled."""


class Trap:
    def __reduce__(self) -> tuple[type, tuple[str]]:
        return Opened, ("unpickled",)


def huge(shape: str) -> bytes:
    """A file that claims a shape, and has the bytes of AUDIO."""
    return saved(AUDIO).replace(b"(10, 3), }" + b" " * (len(shape) - 7), shape.encode() + b", }")


DAMAGED = {
    "pickled objects": (
        saved(np.array([[Trap()]], object), allow_pickle=True),
        r"'descr': '\|O'.* expected NumPy 1\.0",
    ),
    "a pickle": (pickle.dumps(Trap()), "expected NumPy 1.0"),
    "single floats": (saved(AUDIO.astype(np.float32)), "'descr': '<f4'"),
    "big-endian floats": (saved(AUDIO.astype(">f2")), "'descr': '>f2'"),
    "Fortran order": (saved(np.asfortranarray(AUDIO)), "'fortran_order': True"),
    "another version": (saved(AUDIO).replace(b"NUMPY\x01", b"NUMPY\x02"), "expected NumPy 1.0"),
    "fields": (saved(np.zeros((10, 3), [("a", "<f2")])), "expected NumPy 1.0"),
    "three axes": (saved(AUDIO[..., None]), r"the shape \(10, 3, 1\), expected 2 axes"),
    "no segments": (saved(AUDIO[:0]), r"the shape \(0, 3\), expected 2 axes of 1 or more"),
    "a huge shape": (huge("(100000000, 100000000)"), r"60 bytes of values, its shape .* takes 20000000000000000"),
    "a shape of many digits": (huge("(10000000000, 1)"), "expected NumPy 1.0"),
    "a negative shape": (huge("(-10, -3)"), "expected NumPy 1.0"),
    "an expression": (huge("(10, 3) if 1 else 0"), "expected NumPy 1.0"),
    "a truncated end": (saved(AUDIO)[:-2], "58 bytes of values"),
    "a truncated header": (saved(AUDIO)[:40], "expected NumPy 1.0"),
    "further bytes": (saved(AUDIO) + b"\0", "61 bytes of values"),
    "a header of 65 535 bytes": (saved(AUDIO)[:8] + b"\xff\xff" + b" " * 70_000, "expected NumPy 1.0"),
    "nothing": (b"", "expected NumPy 1.0"),
    "fewer segments": (saved(AUDIO[:9]), "10 segments of visual and 9 of audio features"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_anything_else_is_an_error_that_names_the_sample_and_what_to_delete(name: str) -> None:
    data, found = DAMAGED[name]
    with pytest.raises(DataError, match=found) as caught:
        decode("v_0", encode(CLIP) | {"audio.npy": data}, URI)
    assert str(caught.value).startswith(f"{URI}: v_0: ")
    assert "Delete /ws/tables/features/spec=events/features=m/00003.parquet and run" in str(caught.value)


@pytest.mark.parametrize("missing", ["json", "visual.npy", "audio.npy"])
def test_a_sample_without_a_member_names_it(missing: str) -> None:
    members = encode(CLIP)
    del members[missing]
    with pytest.raises(DataError, match=f"v_0: no member '{missing}'"):
        decode("v_0", members, URI)


def test_json_that_is_none_is_an_error() -> None:
    with pytest.raises(DataError, match="v_0: "):
        decode("v_0", encode(CLIP) | {"json": b"{"}, URI)
