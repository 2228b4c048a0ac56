"""Objectives in fp32 and in logits, each beside its equation."""
