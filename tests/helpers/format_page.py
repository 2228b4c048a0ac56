"""The tables in docs/format.md, from the schemas: `python -m tests.helpers.format_page` writes them anew."""

from pathlib import Path

from pipeline.reports.querying import tables
from schemas.fields import partition_columns, table_name

PAGE = Path(__file__).parent.parent.parent / "docs" / "format.md"
BEGIN, END = "<!-- tables: from the schemas -->\n", "<!-- end of tables -->\n"


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
            lines.append(f"| `{item.name}` | {item.type}{null} | {unit} | {item.metadata[b'doc'].decode()} |")
        sections.append("\n".join(lines).replace("list<element: ", "list<").replace("list<item: ", "list<"))
    return "\n\n".join(sections) + "\n"


def with_tables(page: str) -> str:
    """The page with its tables as they are now."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + "\n" + describe_tables() + "\n" + END + rest.partition(END)[2]


def snippets(page: str) -> dict[str, str]:
    """The page's Python blocks, by the heading above each."""
    sections = (section.partition("```python\n") for section in page.split("\n### ")[1:])
    return {heading.partition("\n")[0]: code.partition("```")[0] for heading, _, code in sections if code}


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
