"""A captioned physics world that knows the truth of what it shows."""
