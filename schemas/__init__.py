"""The tables on disk: a TypedDict and a pyarrow schema for each, every field with a doc. Nothing is computed here."""
