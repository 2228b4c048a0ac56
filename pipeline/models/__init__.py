"""Tensors to tensors: no paths, no Ray, no config files."""
