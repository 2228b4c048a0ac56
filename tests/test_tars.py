"""Tars: read by any tar reader, the same bytes for the same content, and never silently shorter."""

import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import soundfile
import webdataset

from pipeline.clips import tars
from pipeline.clips.samples import decode_sample, encode_flac
from pipeline.clips.tars import TAIL_BYTES, TarWriter, parse_sample, read_last, read_sequence
from pipeline.errors import DataError

BLOCK = 512
SAMPLES = {f"clip-{i}_{i:04d}": {"json": b'{"i": 1}', "1.jpg": b"b" * i, "0.jpg": b"a" * 600} for i in range(4)}


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    return write(tmp_path / "clips.tar", SAMPLES)


def write(path: Path, samples: dict[str, dict[str, bytes]]) -> Path:
    with TarWriter(path) as writer:
        for key, members in samples.items():
            writer.add(key, members)
    return path


def padded(size_bytes: int) -> int:
    """What a member takes in a tar: a header, and its content up to a whole block."""
    return BLOCK + -(-size_bytes // BLOCK) * BLOCK


def test_plain_tarfile_reads_the_members_in_order_of_key_then_suffix(tar: Path) -> None:
    with tarfile.open(tar) as archive:
        names = archive.getnames()
        content = {name: archive.extractfile(name).read() for name in names}
        assert all((member.mtime, member.uid, member.uname) == (0, 0, "") for member in archive)
    assert names == [f"{key}.{suffix}" for key in SAMPLES for suffix in ("0.jpg", "1.jpg", "json")]
    assert content == {f"{key}.{suffix}": data for key, members in SAMPLES.items() for suffix, data in members.items()}


def test_plain_webdataset_reads_the_samples(tar: Path) -> None:
    samples = list(webdataset.WebDataset(str(tar), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == list(SAMPLES)
    assert samples[3]["1.jpg"] == b"bbb"


@pytest.mark.parametrize("size", [0, 1, TAIL_BYTES - BLOCK, TAIL_BYTES - BLOCK + 1, 3 * TAIL_BYTES])
@pytest.mark.parametrize("key", ["a", "k" * 95, "k" * 200])
def test_the_last_member_of_a_sample_is_read_alone(size: int, key: str, tmp_path: Path) -> None:
    members = {"0.jpg": b"a" * 9000, "1.jpg": tarfile.TarInfo("k.json").tobuf(), "json": b"j" * size}
    with TarWriter(tmp_path / "a.tar") as writer:
        writer.add("first", members)
        place = writer.add(key, members)
        writer.add("last", members)
    uri = str(tmp_path / "a.tar")
    assert read_last(uri, *place, f"{key}.json") == members["json"]
    with pytest.raises(DataError, match=r"a.tar: .*: no member flac"):
        read_last(uri, *place, f"{key}.flac")
    with pytest.raises(DataError, match=r"a.tar"):
        read_last(uri, place[0] + BLOCK, place[1], f"{key}.json")


def test_the_same_content_gives_the_same_bytes_in_any_order_of_its_members(tmp_path: Path, tar: Path) -> None:
    turned = {key: dict(reversed(members.items())) for key, members in SAMPLES.items()}
    assert write(tmp_path / "other.tar", turned).read_bytes() == tar.read_bytes()


def test_offsets_and_lengths_are_those_of_the_tar_format(tmp_path: Path) -> None:
    path = tmp_path / "clips.tar"
    with TarWriter(path) as writer:
        places = [writer.add(key, members) for key, members in SAMPLES.items()]
    lengths = [sum(padded(len(data)) for data in members.values()) for members in SAMPLES.values()]
    assert [length for _, length in places] == lengths
    assert [offset for offset, _ in places] == [sum(lengths[:i]) for i in range(len(lengths))]
    data = path.read_bytes()
    for (offset, length), (key, members) in zip(places, SAMPLES.items(), strict=True):
        assert parse_sample(data[offset : offset + length], "a.tar", key) == (key, members)


@pytest.mark.parametrize("key", ["a.b", "a/b", "Ab", "", "ü", "a b", "a" * 201, "../a"])
def test_a_key_that_some_reader_would_split_or_lose_is_refused(tmp_path: Path, key: str) -> None:
    with TarWriter(tmp_path / "x.tar") as writer, pytest.raises(ValueError, match="expected 1 to 200 of"):
        writer.add(key, {"json": b"{}"})


@pytest.mark.parametrize("length", [88, 89, 110, 200])  # 88 and .second.flac are the 100 bytes of a plain header;
# 110: the longest id of a table, 100, and a start of 9 digits
def test_a_name_that_no_header_holds_is_read_by_all_who_read_the_others(length: int, tmp_path: Path) -> None:
    samples = {"a": {"json": b"{}"}, "k" * length: {"second.flac": b"x", "0.jpg": b"y" * 600}, "z": {"json": b"{}"}}
    path = tmp_path / "x.tar"
    with TarWriter(path) as writer:
        places = [writer.add(key, members) for key, members in samples.items()]
    assert dict(read_sequence(path, list(samples))) == samples
    for (offset, length_bytes), (key, members) in zip(places, samples.items(), strict=True):
        assert parse_sample(path.read_bytes()[offset : offset + length_bytes], "a.tar", key) == (key, members)
    with tarfile.open(path) as archive:
        assert len(archive.getnames()) == 4
        assert f"{'k' * length}.second.flac" in archive.getnames()


def test_a_name_that_fits_has_a_plain_header_and_no_other(tar: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "plain.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for key, members in SAMPLES.items():
            for suffix in sorted(members):
                header = tarfile.TarInfo(f"{key}.{suffix}")
                header.size, header.mode = len(members[suffix]), 0o444
                archive.addfile(header, io.BytesIO(members[suffix]))
    assert tar.read_bytes() == (tmp_path / "plain.tar").read_bytes()


def test_reading_in_sequence_gives_what_was_written(tar: Path) -> None:
    assert dict(read_sequence(tar, list(SAMPLES))) == SAMPLES


def test_a_tar_of_no_samples_is_whole(tmp_path: Path) -> None:
    assert list(read_sequence(write(tmp_path / "none.tar", {}), [])) == []


def test_a_tar_cut_at_any_block_is_an_error(tmp_path: Path, tar: Path) -> None:
    data = tar.read_bytes()
    content = sum(padded(len(data)) for members in SAMPLES.values() for data in members.values())
    for length in range(0, content, BLOCK):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(data[:length])
        with pytest.raises(DataError, match=r"cut\.tar"):
            list(read_sequence(cut, list(SAMPLES)))


def test_a_tar_cut_within_a_block_is_an_error(tmp_path: Path, tar: Path) -> None:
    cut = tmp_path / "cut.tar"
    for length in (100, BLOCK + 100, 3 * BLOCK + 1):
        cut.write_bytes(tar.read_bytes()[:length])
        remedy = r"Delete s3://b/w/tables/videos/spec=base/7\.parquet and run"
        with pytest.raises(DataError, match=rf"^s3://b/w/clips/base/7\.tar: .* {remedy}"):
            list(read_sequence(cut, list(SAMPLES), "s3://b/w/clips/base/7.tar"))


@pytest.mark.parametrize(
    "expected",
    [list(SAMPLES)[:-1], list(SAMPLES)[::-1], [*SAMPLES, "more"], ["other", *list(SAMPLES)[1:]], []],
    ids=["fewer", "turned", "more", "another", "none"],
)
def test_samples_that_the_rows_do_not_promise_are_an_error(tar: Path, expected: list[str]) -> None:
    with pytest.raises(DataError, match=r"clips\.tar"):
        list(read_sequence(tar, expected))


def test_bytes_that_are_not_one_whole_sample_are_an_error(tar: Path) -> None:
    data = tar.read_bytes()
    first = sum(padded(len(content)) for content in next(iter(SAMPLES.values())).values())
    for wrong in (data[: first + padded(600)], data[:BLOCK], data[100 : first + 100], b"", b"\0" * BLOCK):
        remedy = r"Delete x/tables/videos/spec=base/00042\.parquet and run"
        with pytest.raises(DataError, match=rf"x/clips/base/00042\.tar: it: .* {remedy}"):
            parse_sample(wrong, "x/clips/base/00042.tar", "it")


def test_a_damaged_header_is_an_error_wherever_in_the_sample_it_is(tar: Path) -> None:
    data, place = tar.read_bytes(), 0
    length = sum(padded(len(content)) for content in SAMPLES["clip-0_0000"].values())
    for suffix in sorted(SAMPLES["clip-0_0000"]):
        damaged = bytearray(data[:length])
        damaged[place + 148] ^= 1  # of its checksum
        remedy = r"Delete x/tables/mixtures/mixtures=clips/on-00042\.par"
        with pytest.raises(DataError, match=rf"x/mixtures/clips/on-00042\.tar: it: .* {remedy}"):
            parse_sample(bytes(damaged), "x/mixtures/clips/on-00042.tar", "it")
        place += padded(len(SAMPLES["clip-0_0000"][suffix]))


def outcome(data: bytes) -> object:
    """What parsing gives, or the words of its error."""
    try:
        return parse_sample(data, "a.tar", "it")
    except DataError as error:
        return str(error)


def test_samples_whole_and_damaged_are_read_as_tarfile_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.tar", {"k_1": {"0.jpg": bytes(range(200)), "flac": b"f" * 1024, "json": b""}})
    data = path.read_bytes()[: 3 * BLOCK + 3 * BLOCK]
    assert outcome(data) == ("k_1", {"0.jpg": bytes(range(200)), "flac": b"f" * 1024, "json": b""})
    rng = np.random.default_rng(0)
    damaged = [data]
    for place in [*range(0, 264, 2), *(int(place) for place in rng.integers(len(data), size=60))]:
        changed = bytearray(data)
        changed[place] = int(rng.integers(256))
        damaged += [bytes(changed), data[:place]]
    found = [outcome(one) for one in damaged]
    monkeypatch.setattr(tars, "_plain_members", lambda _: None)
    assert found == [outcome(one) for one in damaged]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_a_member_that_is_no_file_is_an_error_and_a_link_is_not_followed(tmp_path: Path, kind: bytes) -> None:
    (tmp_path / "secret").write_bytes(b"canary")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("key.json")
        link.type, link.linkname = kind, str(tmp_path / "secret")
        archive.addfile(link)
    with pytest.raises(DataError, match=r"member key.json is no file"):
        parse_sample(buffer.getvalue()[:BLOCK], "a.tar", "it")


def test_a_sample_decodes_to_what_was_encoded_frames_in_the_order_of_their_numbers() -> None:
    samples = np.array([0, 1, -1, 32767, -32768] * 40, dtype=np.int16)
    grey = [np.full((16, 24, 3), 20 * k, np.uint8) for k in range(12)]
    members = {f"{k}.jpg": simplejpeg.encode_jpeg(pixels, quality=95) for k, pixels in enumerate(grey)}
    members |= {"flac": encode_flac(samples, 16000), "second.flac": encode_flac(samples[::-1].copy(), 16000)}
    facts = {"frame_times_s": list(range(12)), "duration_s": 0.0125, "sample_rate_hz": 16000}
    members["json"] = json.dumps(facts).encode()
    clip = decode_sample("key", members, "x/clips/base/00042.tar")
    assert clip.frames.shape == (12, 3, 16, 24)  # 10.jpg is after 9.jpg
    assert np.abs(clip.frames.mean(axis=(1, 2, 3)) - 20 * np.arange(12)).max() < 1
    expected = [0.0, 2.0**-15, -(2.0**-15), 1 - 2.0**-15, -1.0] * 40
    assert clip.waveform.dtype == np.float32
    assert clip.waveform.tolist() == expected
    assert clip.waveforms["second.flac"].tolist() == expected[::-1]
    assert clip.facts == facts
    assert clip.size_bytes == 12 * 3 * 16 * 24 + 2 * 200 * 4


def test_samples_and_their_amplitudes_are_the_same_flac_to_the_byte() -> None:
    samples = np.random.default_rng(0).permutation(np.arange(-32768, 32768)).astype(np.int16)
    assert encode_flac(samples / np.float32(32768), 16000) == encode_flac(samples, 16000)


def test_a_member_that_is_damaged_missing_or_of_another_length_is_an_error_that_names_tar_and_key() -> None:
    tone, grey = np.zeros(200, np.int16), np.zeros((16, 24, 3), np.uint8)
    facts = {"frame_times_s": list(range(12)), "duration_s": 0.0125, "sample_rate_hz": 16000}
    members = {f"{k}.jpg": simplejpeg.encode_jpeg(grey, quality=95) for k in range(12)}
    members |= {"flac": encode_flac(tone, 16000), "second.flac": encode_flac(tone, 16000)}
    members["json"] = json.dumps(facts).encode()
    decode_sample("key", members, "x/clips/base/00042.tar")
    for damaged in (
        {name: data for name, data in members.items() if name != "11.jpg"},
        {name: data for name, data in members.items() if name != "json"},
        members | {"3.jpg": members["3.jpg"][:-20]},
        members | {"3.jpg": b"\0" + members["3.jpg"][1:]},
        members | {"3.jpg": simplejpeg.encode_jpeg(grey[:8], quality=95)},
        members | {"x.jpg": members["3.jpg"]},
        members | {"flac": b"\0" + members["flac"][1:]},
        members | {"second.flac": encode_flac(tone[:-1], 16000)},
        members | {"json": json.dumps(facts | {"duration_s": 0.0126}).encode()},
        members | {"json": b"[]"},
        members | {"json": b"\xff"},
    ):
        with pytest.raises(
            DataError, match=r"^x/clips/base/00042\.tar: key: .* Delete x/tables/videos/spec=base/00042"
        ):
            decode_sample("key", damaged, "x/clips/base/00042.tar")


def test_flac_is_16_bit_mono_at_the_given_rate() -> None:
    info = soundfile.info(io.BytesIO(encode_flac(np.zeros(100, np.int16), 22050)))
    assert (info.channels, info.samplerate, info.subtype, info.frames) == (1, 22050, "PCM_16", 100)


class Canary:
    """Creates a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def test_a_pickle_in_a_tar_is_handed_over_as_bytes_and_never_run(tmp_path: Path) -> None:
    data = pickle.dumps(Canary(tmp_path / "canary"))
    path = write(tmp_path / "evil.tar", {"key": {"pyd": data, "pkl": data, "pickle": data}})
    ((_, members),) = read_sequence(path, ["key"])
    assert members == {"pyd": data, "pkl": data, "pickle": data}
    assert not (tmp_path / "canary").exists()
    pickle.loads(data)  # noqa: S301  the canary works
    assert (tmp_path / "canary").exists()


def test_what_is_truncated_leaves_no_trace(tmp_path: Path) -> None:
    with TarWriter(tmp_path / "plain.tar") as plain, TarWriter(tmp_path / "again.tar") as again:
        for tar in (plain, again):
            tar.add("a", {"flac": b"1" * 700})
        begun = again.size_bytes
        again.add("b", {"flac": b"2" * 70_000, "json": b"{}"})
        again.truncate(begun)
        assert plain.add("c", {"json": b"{}"}) == again.add("c", {"json": b"{}"}) == (begun, 1024)
    assert (tmp_path / "plain.tar").read_bytes() == (tmp_path / "again.tar").read_bytes()
