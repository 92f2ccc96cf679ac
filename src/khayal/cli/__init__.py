"""The command line: one file for each noun; bare `khayal "…"` generates."""
