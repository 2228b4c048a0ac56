"""Other tools: which clips there are, for them to read, and the columns that they computed, taken in."""
