"""Texts without some videos: other videos keep their rows and what is said of their rights."""

import pyarrow as pa
import pytest

from pipeline.takedown.names import REPLACED, Names
from pipeline.takedown.row_removal import without
from pipeline.takedown.text_removal import clean_csv, clean_lines

NUMBER = Names(["123456"], (), ["/v/123456.mp4"])
PAGE = "https://vimeo.com/user/123456"


def test_an_id_without_a_letter_changes_no_other_text() -> None:
    rows = pa.table({"video_id": ["123456", "b-1"], "source_url": [None, PAGE]})
    assert without(rows, NUMBER).to_pylist() == [{"video_id": "b-1", "source_url": PAGE}]
    assert clean_lines(f"{PAGE}\n123456_00001000 is odd\n/v/123456.mp4 is odd\n", NUMBER) == f"{PAGE}\n"
    assert NUMBER.unsearched == ["123456"]


@pytest.mark.parametrize(("cell", "names"), [("123456", NUMBER), ("'-gone12", Names(["-gone12"]))])
def test_a_csv_loses_the_rows_of_the_videos_alone(cell: str, names: Names) -> None:
    header, other = "video_id,author,source_url\r\n", f'b-1,123456,"{PAGE}"\r\n'
    assert clean_csv(f"{header}{cell},Ann,\r\n{other}", names) == f"{header}{other}"


def test_a_row_of_a_csv_that_mentions_a_video_stays_without_its_name() -> None:
    names = Names(["gone-1"], (), ["/v/gone-1.mp4"])
    text = 'uri,note\n/v/gone-1.mp4,x\n/v/b.mp4,"like gone-1, or not"\n'
    assert clean_csv(text, names) == f'uri,note\n/v/b.mp4,"like {REPLACED}, or not"\n'
    assert clean_csv("a,gone-1\nb,c\n", names) == "b,c\n"
