"""The facts of a selection's shards -> README.md, a data card for people and for the Hugging Face Hub (`card.md`).

Names, licences and authors are untrusted: each is text on the page, whatever letters it has, also in the YAML above it.
A number reaches the page as a `Figure`, which has its source; the template cannot show any other.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from pipeline.errors import DataError
from pipeline.formatting import format_hours, format_number
from pipeline.pages import templates
from pipeline.reports.card_facts import Facts
from pipeline.reports.card_figures import Figure, figure_of
from pipeline.reports.licenses import hub_license

# The Hub's size categories: below how many samples.
SIZES = (
    *((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M")),
    *((10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"), (10**11, "10B<n<100B")),
)
TITLES = {
    "all": "All clips together",
    "splits": "Clips by split",
    "shards": "Tars",
    "reasons": "Decisions",
    "licenses": "Licences",
    "rights": "Use for training",
    "outcomes": "Outcomes of videos",
    "labels": "Labels",
    "lengths": "Lengths and frames",
    "measures": "Measures",
    "scorers": "Figures of the model that scored them",
}
TERMS = {
    "cc:Notice": "notice of the licence",
    "cc:Attribution": "attribution",
    "cc:ShareAlike": "the same licence for what is made of it",
    "cc:CommercialUse": "commercial use",
}
SPECIAL = re.compile(r"[\\`*_\[\]#|~@$]|:(?=//)|(?<=www)\.")  # what Markdown could take for a mark, or for an address
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def make_card(facts: Facts, rebuild: Sequence[str]) -> str:
    """The card, as Markdown.

    Args:
        facts: of the shards.
        rebuild: the commands that make the shards again.
    Raises:
        DataError: a number has no source.
    """
    environment = templates("pipeline.reports", is_html=False, finalize=_show)
    environment.filters |= {
        "yaml": _yaml,
        "duration": lambda hours: format_hours(hours.value),
        "exact": _exact,
        "raw": Markup,
    }
    numbers = {name: value for name, value in facts.clip_spec.items() if not isinstance(value, bool | str)}
    return environment.get_template("card.md").render(
        facts=facts,
        total=facts.only("all"),
        lengths=facts.only("lengths"),
        spec={name: figure_of(value, f"clips/base, {name}") for name, value in numbers.items()},
        hub_license=hub_license(facts.licenses),
        size_category=size_category(facts.only("all")["clips"].value),
        size_bytes=figure_of(sum(shard.size_bytes.value for shard in facts.shards), "sizes of the tars"),
        features=_features(facts),
        description=description(facts),
        licenses=list(zip(facts.licenses, facts.rows["licenses"], strict=True)),
        terms=lambda names: ", ".join(TERMS[name] for name in names) or "-",
        limits=limits(facts),
        rebuild=rebuild,
        fence=_fence("\n".join(rebuild)),
        titles=TITLES,
    )


def description(facts: Facts) -> str:
    """What the data is, in a sentence or two."""
    total, lengths = facts.only("all"), facts.only("lengths")
    frames = "frames and " if lengths["most_frames"].value else ""
    return (
        f"{shown(total['clips'])} clips of {shown(total['videos'])} videos, {frames}sound of "
        f"{shown(lengths['shortest_s'])} s each, {format_hours(total['hours'].value)} in all, as shuffled WebDataset "
        "tars. Cut, chosen and described by Earshot."
    )


def limits(facts: Facts) -> list[str]:
    """What whoever uses the data should know it is not."""
    total, spec = facts.only("all"), facts.clip_spec
    made_from = [stage["stage"] for stage in facts.stages]
    found = []
    if spec["hop_s"] < spec["clip_s"]:
        found.append(
            f"Clips of one video overlap: they are {spec['clip_s']:g} s long and begin {spec['hop_s']:g} s apart. "
            f"{shown(total['clips'])} clips are {format_hours(total['hours'].value)} of different sound."
        )
    unclear = [row["clips"].value for row, each in zip(facts.rows["licenses"], facts.licenses, strict=True)
               if not each.permits]  # fmt: skip
    if unclear:
        count = figure_of(sum(unclear), "licenses.clips")
        found.append(f"The terms of {shown(count)} clips are not known: their licence is not stated, or not by a "
                     "name of Creative Commons that is known.")  # fmt: skip
    scorers = [name for name in made_from if name.startswith("scores/")]
    for name in scorers:
        found.append(
            f"A model ({name}), not people, judged whether sound and picture belong together. The selection has its "
            "mistakes, and more of what it finds easy."
        )
    if not scorers:
        found.append("Nobody and no model judged whether what is heard is in view.")
    labelled = sum(row["clips"].value for row in facts.rows["labels"] if row["label"])
    others = total["clips"].value - labelled
    if others:
        found.append(f"What is heard in {shown(figure_of(others, 'labels.clips'))} clips, nobody has labelled.")
    if not any(name.startswith("duplicates/") for name in made_from):
        found.append(
            "Only videos of equal bytes or address were kept in one split. Uploads of one content that differ in a "
            "byte were not looked for."
        )
    found.append("People may be seen and heard, and named by addresses and authors. Nothing of that was removed.")
    if facts.only("lengths")["most_frames"].value and spec["fit"] == "stretch":
        found.append("The whole picture is stretched to a frame, so its aspect is lost.")
    lost = [row for row in facts.rows["outcomes"] if row["outcome"] != "kept"]
    if lost:
        count = figure_of(sum(row["videos"].value for row in lost), "outcomes.videos")
        reasons = ", ".join(f"{row['outcome']} {shown(row['videos'])}" for row in lost)
        found.append(f"{shown(count)} videos of the collection gave no clip ({reasons}).")
    return found


def responsible_ai(facts: Facts) -> dict[str, str | list[str]]:
    """What the vocabulary of responsible AI asks, by its property, as far as the tables and records have it."""
    videos = figure_of(sum(row["videos"].value for row in facts.rows["outcomes"]), "outcomes.videos")
    outcomes = ", ".join(f"{shown(row['videos'])} {row['outcome']}" for row in facts.rows["outcomes"])
    labels = ", ".join(f"{shown(row['clips'])} {row['label']}" for row in facts.rows["labels"] if row["label"])
    tools = [f"{stage['stage']}, {stage['hash']}" for stage in facts.stages if stage["stage"].startswith("scores/")]
    spec = ", ".join(f"{name} {value}" for name, value in facts.clip_spec.items())
    rules = [
        f"{rule.reason}: {rule.what} ({', '.join(rule.settings) or 'no setting'}), {shown(rule.clips)} clips"
        for rule in facts.rules
    ]
    found: dict[str, str | list[str]] = {
        "dataCollection": f"{shown(videos)} videos of a collection that others made; videos.parquet has addresses.",
        "dataCollectionType": ["Secondary Data analysis"],
        "dataCollectionMissingData": f"Videos by outcome: {outcomes}. What was refused is in no clip.",
        "dataCollectionRawData": "The videos, by address and sha256 in videos.parquet. They are not part of the data.",
        "dataPreprocessingProtocol": [f"Each video was cut into clips: {spec}.", *rules],
        "dataLimitations": limits(facts),
        "dataBiases": [
            "Who uploads videos under which licence decides what is seen and heard; nothing was done to balance it."
        ],
        "personalSensitiveInformation": [
            "Faces, voices, and names in addresses and authors may be of persons. Nothing of that was removed."
        ],
        "dataUseCases": ["Learning what is heard and seen together: coincidence, separation, localisation of sound."],
    }
    found |= {"dataAnnotationProtocol": [f"People labelled clips by what is heard: {labels}."]} if labels else {}
    found |= {"machineAnnotationTools": tools} if tools else {}
    return found


def size_category(count: int | float) -> str:
    """The Hub's word for so many samples.

    >>> size_category(999), size_category(1000), size_category(3e6)
    ('n<1K', '1K<n<10K', '1M<n<10M')
    """
    return next((word for limit, word in SIZES if count < limit), "n>1T")


def escape(text: str) -> str:
    """Text of others as Markdown that shows it as it is: no mark, no tag, no link, no mention; one line.

    >>> escape("<b>*a*|[x](http://y) @me")
    '&lt;b&gt;\\\\*a\\\\*\\\\|\\\\[x\\\\](http\\\\://y) \\\\@me'
    """
    marked = SPECIAL.sub(r"\\\g<0>", _printable(text))
    return "".join(ENTITIES.get(letter, letter) for letter in marked)


def shown(figure: Figure) -> str:
    """A number as people read it."""
    return format_number(figure.value)


def _features(facts: Facts) -> list[tuple[str, Markup]]:
    """Name and type of what the Hub's loader finds in a sample."""
    text, image = Markup('"string"'), Markup('"image"')
    rate = facts.clip_spec["sample_rate_hz"]
    frames = [(f"{number}.jpg", image) for number in range(int(facts.only("lengths")["most_frames"].value))]
    sound = ("flac", Markup(f"{{audio: {{sampling_rate: {rate}}}}}"))
    return [("__key__", text), ("__url__", text), *frames, sound, ("json", Markup('"json"'))]


def _show(value: Any) -> Any:
    """What the template shows of a value: a figure as a number, text as text, and no number without a source."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, Figure):
        return shown(value)
    if isinstance(value, str):
        return escape(value)
    raise DataError(f"data card: {value!r} has no source: the figure cannot be traced.")


def _fence(code: str) -> str:
    """Backticks to put around code so that none in it ends it: settings may have names of others."""
    return "`" * max(3, *(len(run) + 1 for run in re.findall("`+", code)), 3)


def _exact(figure: Figure) -> Markup:
    return Markup(int(figure.value))


def _yaml(value: str | list[str]) -> Markup:
    """A text, or a list of texts, as YAML: what JSON writes is YAML too, once no letter of it is one that YAML bars."""
    if isinstance(value, list):
        return Markup("[" + ", ".join(map(_yaml, value)) + "]")
    return Markup(json.dumps(_printable(value), ensure_ascii=False))


def _printable(text: str) -> str:
    """The text with a blank for a line's end, and a mark for what cannot be seen or turns the direction of reading."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))
