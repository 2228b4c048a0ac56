"""The names by which videos and their clips are found: exactly in columns of ids, as whole words in any text.

A clip is named `<video_id>_<8 digits or more of ms>`, then perhaps its clip spec and its face; masks likewise. An id
shorter than MIN_LETTERS, or without a digit, - or _, is an everyday word, and one without a letter is a number, which
may count anything: texts are not searched for either, columns are. For a number's clips texts are searched too.
"""

import html
import json
import re
import urllib.parse
from collections.abc import Collection, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

CLIP_ENDING = "_[0-9]{8,}(_[a-z]+)?(_f[0-9]+)?$"
CLIP = re.compile(CLIP_ENDING)
WORD = re.compile(r"[A-Za-z0-9_-]+")
MIN_LETTERS = 6
REPLACED = "(taken down)"


class Names:
    """What names some videos and their clips.

    Args:
        video_ids: of the videos.
        clip_ids: of clips of theirs; those that `CLIP_ENDING` ends need not be given.
        uris: addresses of the videos.
        others: ids of videos that stay and look like clips of these.
    """

    def __init__(
        self,
        video_ids: Collection[str],
        clip_ids: Collection[str] = (),
        uris: Iterable[str] = (),
        others: Collection[str] = (),
    ) -> None:
        self.video_ids, self.uris = frozenset(video_ids), frozenset(uris)
        self.clip_ids, self.others = frozenset(clip_ids), frozenset(others)
        self._ids = pa.array(sorted(self.video_ids), pa.string())
        self._clips = pa.array(sorted(self.clip_ids), pa.string())
        self._addresses = pa.array(sorted(self.uris), pa.string())
        words = {name for name in self.video_ids if is_distinct(name)}
        self.unsearched = sorted(self.video_ids - words)
        """Ids that are everyday words or numbers."""
        self._words = words | {name for name in self.clip_ids if _is_long(name)}
        self._of_clips = frozenset(name for name in self.video_ids if _is_long(name))
        self._anchors = _anchors(self.uris)

    def are_videos(self, column: pa.Array) -> pa.Array:
        """[n] whether each is one of the ids; a null is none."""
        return pc.is_in(column, self._ids)

    def are_addresses(self, column: pa.Array) -> pa.Array:
        """[n] whether each is the address of one of them."""
        return pc.is_in(column, self._addresses)

    def are_clips(self, column: pa.Array) -> pa.Array:
        """[n] whether each names a clip of theirs."""
        video_ids = pc.replace_substring_regex(column, CLIP_ENDING, "")
        return pc.or_(pc.is_in(video_ids, self._ids), pc.is_in(column, self._clips))

    def is_clip(self, key: str) -> bool:
        """Whether the key of a sample is a clip or a mask of theirs."""
        return key in self.clip_ids or CLIP.sub("", key) in self.video_ids

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Begin and end of each mention in a text."""
        for found in WORD.finditer(text):
            word = found.group()
            if word in self._words or self._is_clip_word(word):
                yield found.span()
            for offset, spelling in self._anchors.get(word, ()):
                begin = found.start() - offset
                end = begin + len(spelling)
                if begin >= 0 and text.startswith(spelling, begin) and _is_whole_address(text, begin, end):
                    yield begin, end

    def are_in(self, text: str) -> bool:
        """Whether a text mentions one of them."""
        return next(self.find(text), None) is not None

    def replaced_in(self, text: str) -> str:
        """The text with REPLACED in place of each mention."""
        pieces, last = [], 0
        for begin, end in sorted(self.find(text)):
            if begin >= last:
                pieces += [text[last:begin], REPLACED]
                last = end
        return "".join([*pieces, text[last:]])

    def _is_clip_word(self, word: str) -> bool:
        video_id = CLIP.sub("", word)
        return video_id != word and video_id in self._of_clips and word not in self.others


def is_distinct(name: str) -> bool:
    """Whether an id can be searched for in texts."""
    return _is_long(name) and re.search("[A-Za-z]", name) is not None


def _is_long(name: str) -> bool:
    """Whether a name is no everyday word."""
    return len(name) >= MIN_LETTERS and re.search(r"[0-9_-]", name) is not None and WORD.fullmatch(name) is not None


def _anchors(uris: Iterable[str]) -> dict[str, list[tuple[int, str]]]:
    """By its longest word each spelling of each address, with the place of the word in it: as it is, and as HTML, JSON
    and links have it."""
    found: dict[str, list[tuple[int, str]]] = {}
    for uri in uris:
        written = {uri, html.escape(uri), html.escape(uri, quote=False), json.dumps(uri)[1:-1]}
        for spelling in sorted(written | {urllib.parse.quote(uri, safe="/:")}):
            word = max(WORD.finditer(spelling), key=lambda each: len(each.group()), default=None)
            if word is not None:
                found.setdefault(word.group(), []).append((word.start(), spelling))
    return found


def _is_whole_address(text: str, begin: int, end: int) -> bool:
    """Whether an address ends where it was found, and does not begin half way through a longer one."""
    before, after = text[begin - 1 : begin], text[end : end + 2]
    return not re.match(r"[\w.-]", before) and not re.match(r"[\w-]|\.\w", after)
