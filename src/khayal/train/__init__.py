"""Training: one loop for every stage, driven by recipes. Needs the extra `train`."""
