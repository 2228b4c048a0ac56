"""Names that follow from content."""

import hashlib
import json

from pipeline.hashing import hash_json


def test_the_hash_is_the_first_12_digits_of_sha256_of_sorted_json_without_spaces() -> None:
    text = b'{"a":[1,2.5,null],"b":"\\u00fc"}'
    assert json.loads(text) == {"a": [1, 2.5, None], "b": "ü"}
    assert hash_json({"b": "ü", "a": [1, 2.5, None]}) == hashlib.sha256(text).hexdigest()[:12]
