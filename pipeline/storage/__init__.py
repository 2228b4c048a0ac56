"""Bytes at an address, and the workspace: where each stage's parts are, and which process is writing them."""
