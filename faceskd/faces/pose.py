"""Whether five landmarks can be those of a face that is seen from the front."""

import numpy as np

from faceskd.faces.align import fit_similarity, template, transform_points
from faceskd.faces.components import five_points

FRONT, PROFILE, UNSURE = "front", "profile", "unsure"

MOST_SIDEWAYS = 0.37
"""Of the nose from the middle of the eyes, in distances between the eyes.

Of 460 portraits, 98 % have less. In those with more, one eye is hidden or nearly so, and a detector
puts the second eye into the background.
"""

MOST_RESIDUAL = 0.245
"""Of any point from where the template has it, in distances between the template's eyes.

All but seven of the 460 portraits have less; those are profiles too. So small a distance leaves the
points in their order: eyes above the nose, nose above the mouth, left on the left.
"""


def pose(landmarks: np.ndarray) -> str:
    """How a face is seen, from 5 or 68 landmarks (N, 2) in pixels, turned in any way.

    Returns:
        "front"; "profile": the nose is too far to the side, so one eye is hidden; "unsure": the
        points do not lie as those of a face do, so they are wrong.

    Examples:
        >>> aside = template()
        >>> aside[2] += (60, 0)  # the nose
        >>> pose(template()), pose(aside), pose(template()[:, ::-1])
        ('front', 'profile', 'unsure')
    """
    points, target = five_points(landmarks), template()
    aligned = transform_points(points, fit_similarity(points, target))
    eyes, nose = aligned[:2], aligned[2]
    sideways = abs(nose[0] - eyes[:, 0].mean()) / max(np.linalg.norm(eyes[1] - eyes[0]), 1e-6)
    if sideways > MOST_SIDEWAYS:
        return PROFILE
    residual = np.linalg.norm(aligned - target, axis=1).max()
    return UNSURE if residual > MOST_RESIDUAL * (target[1, 0] - target[0, 0]) else FRONT
