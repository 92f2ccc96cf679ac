"""What a model can do, written down by a worker, so that the server can say it without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from khayal.server.database import Database, models

if TYPE_CHECKING:
    from khayal.checkpoint.contents import Checkpoint

Card = Mapping[str, Any]


def card_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """The facts about a checkpoint that clients ask for, as JSON."""
    defaults, timeline = checkpoint.defaults, checkpoint.timeline
    return {
        "name": checkpoint.name,
        "tasks": list(checkpoint.tasks),
        "size": list(defaults.size),
        "size_multiple": checkpoint.size_multiple,
        "seconds": defaults.seconds,
        "fps": float(timeline.fps),
        "frames_per_latent": timeline.frames_per_latent,
        "is_causal": timeline.is_causal,
        "steps": defaults.steps,
        "guidance": list(defaults.guidance),
    }


def write_card(database: Database, ref: str, card: Card) -> None:
    """Keep the card of the model that is named `ref`, in place of an older one."""
    try:
        with database.writing() as tx:
            tx.execute(models.delete().where(models.c.ref == ref))
            tx.execute(models.insert().values(ref=ref, card=dict(card)))
    except IntegrityError:  # another worker wrote the same in this moment
        return


def read_cards(database: Database) -> dict[str, dict[str, Any]]:
    """All cards, by the refs of their models."""
    with database.reading() as tx:
        return {row.ref: row.card for row in tx.execute(sa.select(models))}
