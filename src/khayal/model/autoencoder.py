"""What every autoencoder offers, whatever it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Autoencoder(Protocol):
    """Pixel frames ↔ latent frames. Pixels are in [-1, 1]; latents have about unit variance.

    Attributes:
        latent_channels: c of the latents.
        spatial_ratio: pixels per latent, along each side.
        frames_per_latent: pixel frames per latent frame.
        is_causal: True where the first latent is one frame and later ones see it (Wan); False where
            every latent encodes `frames_per_latent` frames alone, so that it can stand anywhere.
    """

    latent_channels: int
    spatial_ratio: int
    frames_per_latent: int
    is_causal: bool

    def encode(self, frames: Float[Tensor, "b 3 f H W"]) -> Float[Tensor, "b c t h w"]:
        """The normalised mean latents of a whole clip, or of one image (f = 1).

        f is 4k+1 for a causal autoencoder and 4k (or 1, repeated into its chunk) for a chunked one.
        Memory for activations does not grow with f.
        """
        ...

    def decode(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b 3 f H W"]:
        """All frames at once, not clamped, so that gradients flow: for training and for short clips."""
        ...

    def stream(
        self, latents: Float[Tensor, "b c t h w"], *, tile: int | None = None
    ) -> Iterator[Float[Tensor, "b 3 f H W"]]:
        """The same frames, a few at a time, in order, while later latents are still to be decoded.

        Args:
            tile: where given, the layers of high resolution work on tiles of about this many latents a
                side, one after the other. The frames are the same.
        """
        ...
