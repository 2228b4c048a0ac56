"""AVE's annotations as they were published; the forms of a line are tested with span files."""

from collections import Counter
from pathlib import Path

from pipeline.collection.ave_annotations import is_annotations, read_annotations


def test_the_published_file_has_the_lines_categories_and_repeated_ids_of_the_data_set(shared_media: Path) -> None:
    path = shared_media / "labels" / "AVE_Annotations.txt"
    assert is_annotations(path)
    rows = read_annotations("AVE", path)
    assert len(rows) == 4143
    assert len({row.category for row in rows}) == 28
    counts = Counter(row.video for row in rows)
    assert len(counts) == 4097
    assert sum(count > 1 for count in counts.values()) == 45
    num_background = [10 - sum(row.start_s <= second < row.end_s for second in range(10)) for row in rows]
    assert round(100 * sum(num_background) / (10 * len(rows)), 1) == 17.1
    assert round(100 * sum(map(bool, num_background)) / len(rows), 1) == 33.6
    assert [(row.video, number) for number, row in enumerate(rows) if row.end_s == 0] == [("VWi2ENBuTbw", 26)]


def test_a_csv_is_no_file_of_annotations(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("video,start_s,end_s,category\na,0,1,rock & roll\n")
    assert not is_annotations(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("")
    assert not is_annotations(tmp_path / "a.csv")
