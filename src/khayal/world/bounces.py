"""Bounces: how a contact is made to give back a share of the speed, and how that share is measured.

**Restitution.** MuJoCo has no such parameter. A contact here is a spring and a damper given directly
(negative `solref`): stiffness k and damping b per unit mass, so a bounce is half a swing of an oscillator.
With ζ = b / 2√k and no pulling at the end of the contact, the ratio of speeds is (Schwager & Pöschel 2007)

    e = exp(−ζ/√(1−ζ²) · (π − atan2(2ζ√(1−ζ²), 1−2ζ²)))    for ζ < 1,

which `damping_ratio` inverts. Every bounce that happens is then measured from the trajectory.
"""

from __future__ import annotations

from math import atan2, exp, pi, sqrt

import numpy as np
from jaxtyping import Float

GRAVITY = 9.81  # metres a second squared


def restitution_of(damping_ratio: float) -> float:
    """The ratio of speeds after and before a bounce of a damped spring that cannot pull."""
    z = damping_ratio
    root = sqrt(1 - z * z)
    return exp(-z / root * (pi - atan2(2 * z * root, 1 - 2 * z * z)))


def damping_ratio(restitution: float) -> float:
    """The damping ratio that gives a restitution (bisection; the relation falls steadily)."""
    low, high = 0.0, 0.999
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if restitution_of(middle) > restitution else (low, middle)
    return low


def measure_bounces(height: Float[np.ndarray, "n"], radius: float, seconds: float) -> list[tuple[int, float]]:
    """Each bounce of a sphere on the ground: (first sample after it, ratio of speeds).

    Speeds are taken in free flight, two samples away from the contact, and carried to the height of the
    contact by energy; a bounce counts when the ball flew at least four samples on either side.
    """
    is_free = height > radius + 1e-4
    speed = np.gradient(height, seconds)
    edges = np.flatnonzero(np.diff(is_free.astype(int)))
    landings = [i for i in edges if is_free[i]]
    bounces = []
    for landing in landings:
        after = np.flatnonzero(is_free[landing + 1 :])
        if not len(after):
            break
        takeoff = landing + 1 + int(after[0])
        before, later = landing - 2, takeoff + 2
        if (
            before < 2
            or later + 2 >= len(height)
            or not (is_free[before - 2 : landing].all() and is_free[takeoff : later + 2].all())
        ):
            continue
        arriving = speed[before] ** 2 + 2 * GRAVITY * (height[before] - radius)
        leaving = speed[later] ** 2 + 2 * GRAVITY * (height[later] - radius)
        if speed[before] < -0.5 and speed[later] > 0.1:
            bounces.append((int(takeoff), float(sqrt(leaving / arriving))))
    return bounces
