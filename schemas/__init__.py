"""What lies on disk: one pyarrow schema per table, each field with a doc and a unit. Nothing is computed here."""
