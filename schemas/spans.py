"""Event spans: when something is seen and heard at once in a video, as people or a published set say."""

from typing import Annotated, TypedDict

from schemas.fields import table_schema


class SpanRow(TypedDict):
    """one event of a video, or one video that was judged and has no event"""

    video_id: Annotated[str, "the video; one without any row was not judged"]
    start_s: Annotated[float, "start of the event; 0, as the end, where there is none", "s"]
    end_s: Annotated[float, "end of the event", "s"]
    category: Annotated[str, "what is seen and heard; where there is no event, what was looked for, or nothing"]
    source: Annotated[str, "name of the file that says so"]


SPANS = table_schema("spans", version=1, row=SpanRow)
