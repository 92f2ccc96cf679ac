"""Tensors in, tensors out: no files, no loops over noise levels, no prompts."""
