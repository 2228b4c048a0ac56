"""ATTRIBUTION.csv beside a selection's shards: whom each video is owed to, under which licence, and what was changed.

Creative Commons' licences ask for title, author, source, licence and a note of changes (BY 4.0, section 3(a)); the file
has a row of these for each video of which a clip is there, in the order of their ids. Same tables, same bytes.

Design note: values come from strangers and people open CSV in spreadsheets, which run what begins like a formula. Such
a value has an apostrophe before it, as OWASP advises; whoever needs the exact value finds it in the table `videos`.
"""

import csv
import hashlib
import io
import json
import posixpath
from collections.abc import Iterator
from typing import Any, NamedTuple

from pipeline.reports.licenses import read_license
from pipeline.reports.querying import stream
from pipeline.storage import files
from pipeline.storage.workspace import Workspace

FILE = "ATTRIBUTION.csv"
COLUMNS = (
    *("video_id", "title", "author", "license", "license_url", "source_url", "uri", "rights", "rights_from"),
    *("clips", "changes"),
)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a formula begins with
SQL = """
    SELECT v.video_id, v.uri, v.license, v.author, v.source_url, v.rights, v.rights_from, v.extra, m.clips
    FROM (SELECT video_id, count(*) AS clips FROM materialized WHERE selection = '{selection}' GROUP BY video_id) AS m
    JOIN (FROM videos WHERE spec = 'base') AS v USING (video_id) ORDER BY video_id
"""
CHANGES = (
    "cut into clips; sound mixed down to one channel, resampled, encoded anew; frames picked, scaled, encoded anew"
)


class Attribution(NamedTuple):
    """The file as it was written."""

    num_rows: int
    size_bytes: int
    sha256: str


def write_attribution(workspace: Workspace, selection: str) -> Attribution:
    """Write the file beside the shards, in one atomic step."""
    uri, digest, num_rows = workspace.uri("materialized", selection, FILE), hashlib.sha256(), 0
    with files.building(uri) as path:
        with files.open_patiently(path) as file:
            for number, line in enumerate(_lines(workspace, selection)):
                file.write(line)
                digest.update(line)
                num_rows = number
        return Attribution(num_rows, path.stat().st_size, digest.hexdigest())


def _lines(workspace: Workspace, selection: str) -> Iterator[bytes]:
    """The header and the line of each video."""
    yield _line(COLUMNS)
    with stream(workspace, SQL.format(selection=selection)) as reader:
        for batch in reader:
            yield from (_line(_values(row)) for row in batch.to_pylist())


def _values(row: dict[str, Any]) -> list[str]:
    found = row | {
        "title": _title(row["extra"]) or posixpath.basename(row["uri"]),
        "license_url": read_license(row["license"]).address,
        "changes": CHANGES,
    }
    return ["" if found[name] is None else str(found[name]) for name in COLUMNS]


def _title(extra: str | None) -> str | None:
    """What the collection's other columns call the video, if they do."""
    title = {name.lower(): value for name, value in json.loads(extra or "{}").items()}.get("title")
    return title if isinstance(title, str) else None


def _line(values: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(safe(value) for value in values)
    return text.getvalue().encode(errors="surrogatepass")


def safe(value: str) -> str:
    """A value that no spreadsheet takes for a formula.

    >>> safe("=1+1"), safe("-3z5mFRgbxc"), safe("3 cats")
    ("'=1+1", "'-3z5mFRgbxc", '3 cats')
    """
    return f"'{value}" if value.startswith(FORMULA) else value
