"""What docs/format.md takes from the schemas: `python -m tests.helpers.format_page` writes it anew."""

from pathlib import Path
from typing import Any

from pipeline.reports.querying import tables
from schemas.fields import describe_keys, partition_columns, table_name
from schemas.mixtures import MixtureRow
from schemas.samples import SAMPLES, ClipFacts, ExampleFacts, MouthFacts, SourceFacts

PAGE = Path(__file__).parent.parent.parent / "docs" / "format.md"
JSON_TYPES = {
    str: "string",
    int: "integer",
    float: "number",
    list[float]: "list of numbers",
    list[list[float]]: "list of lists of numbers",
    list[SourceFacts]: "list of objects",
    dict[str, Any]: "object",
}


def describe_tables() -> str:
    """A section per table: what a row is, where the parts lie, and each column with its type, unit and meaning."""
    sections = []
    for schema in tables():
        name, partitions = table_name(schema), partition_columns(schema)
        folder = "/".join(["tables", name, *(f"{column}=..." for column in partitions)])
        about = f"One row is {schema.metadata[b'row'].decode()}. Version {schema.metadata[b'version'].decode()}."
        lines = [f"### {name}", "", f"{about} Parts: `{folder}/*.parquet`.", "", "| column | type | unit | meaning |"]
        lines += [
            "|---|---|---|---|",
            *(f"| `{column}` | in the path | | {doc} |" for column, doc in partitions.items()),
        ]
        for item in schema:
            unit = (item.metadata.get(b"unit") or b"").decode()
            null = ", or null" if item.nullable else ""
            lines.append(f"| `{item.name}` | {item.type}{null} | {unit} | {_text(item.metadata[b'doc'].decode())} |")
        sections.append("\n".join(lines).replace("list<element: ", "list<").replace("list<item: ", "list<"))
    return "\n\n".join(sections) + "\n"


def describe_samples() -> str:
    """A table per kind of JSON: each key with its type, unit and meaning."""
    sections = []
    known = {ExampleFacts: MixtureRow, MouthFacts: ClipFacts}  # keys that are described elsewhere
    for facts in SAMPLES:
        lines = [f"The JSON of {facts.__doc__}:", "", "| key | type | unit | meaning |", "|---|---|---|---|"]
        for key in describe_keys(facts):
            if facts in known and key.name in known[facts].__annotations__:
                continue
            null = ", or null" if key.is_nullable else ""
            doc, unit = (*key.texts, "")[:2]
            lines.append(f"| `{key.name}` | {JSON_TYPES[key.kind]}{null} | {unit} | {_text(doc)} |")
        sections.append("\n".join(lines))
    return "\n\n".join(sections) + "\n"


def _text(doc: str) -> str:
    """A doc as Markdown: `<video_id>` would be taken for HTML, and not be shown."""
    return doc.replace("<", r"\<")


def with_schemas(page: str) -> str:
    """The page with its tables and samples as they are now."""
    for name, text in (("samples", describe_samples()), ("tables", describe_tables())):
        begin, end = f"<!-- {name}: from the schemas -->\n", f"<!-- end of {name} -->\n"
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"
    return page


def snippets(page: str) -> dict[str, str]:
    """The page's Python blocks, by the heading above each."""
    sections = (section.partition("```python\n") for section in page.split("\n### ")[1:])
    return {heading.partition("\n")[0]: code.partition("```")[0] for heading, _, code in sections if code}


def run_snippet(tool: str, root: str) -> dict[str, Any]:
    """The variables of the page's block for a tool, once it has run unchanged on a workspace."""
    found = {"root": root}
    exec(snippets(PAGE.read_text())[tool], found)
    return found


if __name__ == "__main__":
    PAGE.write_text(with_schemas(PAGE.read_text()))
