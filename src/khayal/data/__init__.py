"""Folders of media and captions → latent shards. Reading some captions needs the extra `data`.

`folder` finds what there is, `captions` and `manifest` read what is said of it, `cutting` makes windows of
one size and length, `shards` writes and reads them, `pack` does all of it.
"""
