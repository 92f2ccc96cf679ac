"""Folders ↔ modules: the diffusers layout, read and written."""
