"""Assertions about training in files, as C2PA and CAWG lay them out: built here byte by byte."""

import struct
import time
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import cbor2
import pytest
from conftest import MakeMedia

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.video_cutting import VideoCutting
from pipeline.rights import training_entries
from pipeline.rights.statements import NOTHING
from pipeline.rights.training_entries import (
    MAX_ASSERTION,
    MAX_BOXES,
    MAX_CBOR,
    TOO_MANY,
    read_entries,
    read_training_entries,
)
from schemas.videos import CollectionRow
from tests.helpers.credentials import (
    MP4,
    STORE,
    box,
    element,
    entries,
    in_id3,
    in_matroska,
    in_mp4,
    jumb,
    store,
    synchsafe,
)
from tests.helpers.cutting import EXACT, picture, sound, span_of


@pytest.mark.parametrize(
    ("uses", "rights"),
    [
        ({"ai_training": "notAllowed"}, "no_train"),
        ({"ai_generative_training": "notAllowed", "ai_training": "allowed"}, "no_train"),
        ({"data_mining": "constrained"}, "no_train"),
        ({"ai_inference": "notAllowed"}, "unknown"),
        ({"ai_training": "allowed", "data_mining": "allowed"}, "unknown"),  # no signature was verified
        ({}, "unknown"),
    ],
)
@pytest.mark.parametrize("label", ["cawg.training-mining", "c2pa.training-mining"])
def test_entries_refuse_and_never_permit(label: str, uses: dict[str, str], rights: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(MP4 + box(b"free", bytes(100)) + in_mp4(store(entries(label, **uses))) + box(b"mdat", bytes(9)))
    note = "" if rights == "no_train" else ", not verified"
    assert read_training_entries(path) == (rights, f"file {label}{note}")


def test_a_second_assertion_an_older_map_and_a_riff_file_are_read_too(tmp_path: Path) -> None:
    bare = jumb(b"cbor", "cawg.training-mining", box(b"cbor", cbor2.dumps({"cawg.ai_training": {"use": "notAllowed"}})))
    second = entries("cawg.training-mining__1", ai_training="notAllowed")
    second = second.replace(b"cawg.training-mining__1.ai", b"cawg.ai")
    chunk = store(bare) + b"\0" * (len(store(bare)) % 2)
    riff = b"RIFF" + struct.pack("<I", 4) + b"WAVE" + b"fmt " + struct.pack("<I", 3) + bytes(4) + b"C2PA"
    for number, data in enumerate(
        (
            MP4 + in_mp4(store(entries(ai_training="allowed"), second)),
            MP4 + in_mp4(store(bare)),
            riff + struct.pack("<I", len(store(bare))) + chunk,
        )
    ):
        path = tmp_path / str(number)
        path.write_bytes(data)
        assert read_training_entries(path) == ("no_train", "file cawg.training-mining"), number


def test_a_damaged_assertion_is_named_and_other_files_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    for content in (b"\xff", cbor2.dumps([1]), cbor2.dumps({"entries": 3}), b"\x81" * 1000, bytes(MAX_ASSERTION + 1)):
        path.write_bytes(MP4 + in_mp4(store(jumb(b"cbor", "cawg.training-mining", box(b"cbor", content)))))
        assert read_training_entries(path) == ("unknown", "file cawg.training-mining, not readable")
    for data in (b"", b"RIFF", MP4, MP4 + STORE, b"\x1aE\xdf\xa3" + bytes(100), MP4 + box(b"uuid", STORE + bytes(24))):
        path.write_bytes(data)
        assert read_training_entries(path) == NOTHING
    assert read_training_entries(tmp_path / "gone") == NOTHING


REFUSING = store(entries(ai_training="notAllowed"))
UTF16 = b"\xff\xfec\x002\0\0\0" + b"\xff\xfe\x00\x01\0\0"  # U+0100 is two bytes of which the first is zero


@pytest.mark.parametrize(
    "data",
    [
        in_id3(REFUSING) + b"\xff\xfb" + bytes(9),
        in_id3(REFUSING, version=3) + b"fLaC",
        in_id3(REFUSING, media_type=b"application/x-c2pa-manifest-store"),
        in_id3(REFUSING, texts=UTF16),
        in_matroska(REFUSING),
        in_matroska(REFUSING, media_type=b"application/c2pa\0\0"),
        in_matroska(REFUSING)[: in_matroska(b"").index(b"\x18\x53\x80\x67") + 4]
        + b"\x01"
        + b"\xff" * 7
        + in_matroska(REFUSING)[in_matroska(b"").index(b"\x18\x53\x80\x67") + 12 :],  # of unknown size
    ],
)
def test_the_tag_of_a_sound_file_and_the_attachments_of_matroska_are_read(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    assert read_training_entries(path) == ("no_train", "file cawg.training-mining")
    for length in range(0, len(data), 17):  # every cut of it is survived
        path.write_bytes(data[:length])
        assert read_training_entries(path).rights in ("unknown", "no_train")


def test_objects_of_other_kinds_and_tags_of_other_forms_say_nothing(tmp_path: Path) -> None:
    path, plain = tmp_path / "a", in_id3(REFUSING)
    for data in (
        in_id3(REFUSING, media_type=b"application/c2pa-not"),
        in_matroska(REFUSING, media_type=b"application/c2pa-not"),
        plain[:3] + b"\x02" + plain[4:],
        plain[:5] + b"\x80" + plain[6:],  # unsynchronised
        b"ID3" + bytes(3),
    ):
        path.write_bytes(data)
        assert read_training_entries(path) == NOTHING


def test_an_attachment_that_ffmpeg_writes_is_found(make_media: MakeMedia, tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(REFUSING)
    media_type = ("-metadata:s:t", "mimetype=application/c2pa")
    attached = ("-attach", str(tmp_path / "store"), *media_type)
    path = make_media("attached.mkv", *picture(2.0), *sound(2.0), *EXACT, *attached)
    assert read_training_entries(path) == ("no_train", "file cawg.training-mining")


@pytest.mark.parametrize(
    "data",
    [
        element("1a45dfa3", b"", 1) + element("18538067", element("ec", b"", 1) * (3 * MAX_BOXES)),
        b"ID3\x04\0\0" + synchsafe(33 * MAX_BOXES) + (b"TIT2" + synchsafe(1) + bytes(3)) * (3 * MAX_BOXES),
    ],
)
def test_more_elements_or_frames_than_are_visited_are_said_to_be_unread(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    began = time.process_time()
    assert read_training_entries(path) == TOO_MANY
    assert time.process_time() - began < 1


@pytest.mark.parametrize("texts", [b"\0" + b"a" * 1000, b"\1" + b"a\0\0a" * 250])  # the second: zeros of no character
def test_objects_whose_texts_do_not_end_are_passed_over_in_a_third_of_a_second(texts: bytes, tmp_path: Path) -> None:
    content = texts[:1] + b"application/c2pa\0" + texts[1:]
    frame = b"GEOB" + synchsafe(len(content)) + bytes(2) + content
    path = tmp_path / "a.mp3"
    path.write_bytes(b"ID3\x04\0\0" + synchsafe(len(frame) * 9000) + frame * 9000)
    began = time.process_time()
    assert read_training_entries(path) == NOTHING
    assert time.process_time() - began < 1 / 3


def test_hostile_files_end_soon_and_every_cut_of_a_file_is_survived(tmp_path: Path) -> None:
    nested = entries(ai_training="notAllowed")
    for _ in range(200):
        nested = jumb(b"c2ma", "x", nested)
    path, whole = tmp_path / "a.mp4", MP4 + in_mp4(store(entries(ai_training="notAllowed")))
    for data in (
        MP4 + in_mp4(nested),
        MP4 + box(b"free", b"") * (MAX_BOXES - 1),
        MP4 + struct.pack(">I4sQ", 1, b"free", 2**63),
    ):
        path.write_bytes(data)
        began = time.process_time()
        assert read_training_entries(path) == NOTHING
        assert time.process_time() - began < 1
    for length in range(0, len(whole)):
        path.write_bytes(whole[:length])
        assert read_training_entries(path) == NOTHING


def test_more_boxes_than_are_visited_are_said_to_be_unread(tmp_path: Path) -> None:
    path, few, many = tmp_path / "a.mp4", box(b"free", b"") * 10, box(b"free", b"") * (3 * MAX_BOXES)
    refusing = in_mp4(store(entries(ai_training="notAllowed")))
    path.write_bytes(MP4 + many + refusing)
    assert read_training_entries(path) == TOO_MANY == ("unknown", "file, not readable")
    path.write_bytes(MP4 + few + refusing + many)
    assert read_training_entries(path).rights == "no_train"
    path.write_bytes(b"RIFF" + bytes(4) + b"WAVE" + b"junk\0\0\0\0" * (3 * MAX_BOXES))
    assert read_training_entries(path) == TOO_MANY


def test_what_is_decoded_of_a_hostile_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []

    def decode(content: bytes, **options: object) -> object:
        decoded.append(len(content))
        return cbor2.loads(content, **options)  # type: ignore[arg-type]

    def fraction(size: int) -> bytes:
        """10 ** 0 times a number of so many bytes: Decimal takes 0.4 s for 65000."""
        number = b"\xc4\x82\x00\xc2\x59" + struct.pack(">H", size) + b"\xff" * size
        content = b"\xa1" + cbor2.dumps("x") + number
        return jumb(b"cbor", "cawg.training-mining", box(b"cbor", content))

    path = tmp_path / "a.mp4"
    path.write_bytes(MP4 + in_mp4(store(*[fraction(65_000)] * 4, *[fraction(4000)] * 100)))
    monkeypatch.setattr(training_entries, "cbor2", SimpleNamespace(loads=decode, CBORError=cbor2.CBORError))
    assert read_training_entries(path).rights == "unknown"
    assert sum(decoded) <= MAX_CBOR == 1 << 16
    assert max(decoded) <= MAX_ASSERTION == 1 << 12


def test_a_number_that_is_costly_to_make_is_not_made(tmp_path: Path) -> None:
    value = {"entries": {"cawg.ai_training": {"use": "notAllowed"}}, "x": Decimal("1.5"), "y": cbor2.CBORTag(35, "(")}
    path = tmp_path / "a.mp4"
    path.write_bytes(MP4 + in_mp4(store(jumb(b"cbor", "cawg.training-mining", box(b"cbor", cbor2.dumps(value))))))
    assert read_training_entries(path).rights == "no_train"  # the pattern would be an error, were it made


def test_a_video_is_refused_by_its_file_whatever_its_collection_permits(make_media: MakeMedia, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(
        make_media("plain.mp4", *picture(6.0), *sound(6.0)).read_bytes()
        + in_mp4(store(entries(ai_training="notAllowed")))
    )
    video: CollectionRow = span_of(path, 0.0, 6.0) | {"rights": "train", "rights_from": "column rights"}
    cutting = VideoCutting(video, {BASE: ClipSpec()}, ShardingConfig())
    assert list(cutting)
    row = cutting.video_row(BASE, "00000")
    assert (row["rights"], row["rights_from"]) == ("no_train", "file cawg.training-mining")
    assert row["outcome"] == "kept"


def test_each_box_is_visited_once() -> None:
    others = [jumb(b"cbor", "c2pa.actions", box(b"cbor", b"\xa0"))] * 30
    data = MP4 + in_mp4(store(*others, entries(ai_training="notAllowed")))
    num_boxes = 9 + 3 * 30 + 3  # without the second manifest

    def read(start: int, size: int) -> bytes:
        return data[start : start + size]

    assert read_entries(read, len(data), num_boxes).rights == "no_train"
    assert read_entries(read, len(data), num_boxes - 1) == TOO_MANY
