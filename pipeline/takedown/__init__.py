"""Videos removed from a workspace for good: what names them, what is rewritten without them, and the proof."""
