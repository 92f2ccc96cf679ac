"""Scores of a checkpoint: a probe, trained on the world's truth, reads what the checkpoint makes."""
