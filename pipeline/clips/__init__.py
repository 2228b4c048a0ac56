"""Video -> clips: which spans, what is in them, their bytes in a tar, their split."""
