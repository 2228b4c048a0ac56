"""Bytes at an address, and the workspace: where each stage's parts lie, and who is at work on them."""
