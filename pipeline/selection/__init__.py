"""Which clips belong to a selection, and why the others do not: scores, duplicates, rules, shards, leakage."""
