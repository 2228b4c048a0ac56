"""Shards -> batches -> weights: what a learner brings, and the loop that runs any of them."""
