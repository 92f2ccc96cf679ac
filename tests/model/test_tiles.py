"""Tiles cover a frame once, and read no more than their halo."""

import pytest
import torch

from khayal.model.tiles import tiles_of


@pytest.mark.parametrize("side", [1, 4, 7, 50])
@pytest.mark.parametrize("halo", [0, 3])
def test_tiles_cover_every_pixel_once(side, halo):
    x = torch.arange(11.0 * 17).view(1, 11, 17)
    counted = torch.zeros(1, 22, 34)
    doubled = x.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    result = torch.full_like(doubled, -1)
    for tile in tiles_of(x, side=side, halo=halo):
        read = tile.cut(x)
        assert max(read.shape[1:]) <= 2 * side + 2 * halo
        tile.paste(read.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2), onto=result)
        ones = torch.zeros_like(counted)
        tile.paste(torch.ones(1, 2 * read.shape[1], 2 * read.shape[2]), onto=ones)
        counted += ones
    assert torch.equal(result, doubled)
    assert torch.equal(counted, torch.ones_like(counted))
