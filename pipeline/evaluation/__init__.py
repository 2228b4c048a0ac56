"""Frozen sets -> rows of what a model reaches on them."""
