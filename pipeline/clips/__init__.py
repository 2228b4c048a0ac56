"""Video -> clips: which spans are cut, their statistics, their bytes in a tar, their split."""
