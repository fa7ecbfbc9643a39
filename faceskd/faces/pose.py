"""Check from its landmarks whether a face is seen from the front."""

import numpy as np

from faceskd.faces.align import fit_similarity, template, transform_points
from faceskd.faces.components import five_points

FRONT, PROFILE, UNSURE = "front", "profile", "unsure"

MOST_SIDEWAYS = 0.37
"""Largest sideways distance of the nose from the middle of the eyes, in eye distances.

98 % of 460 portraits have less. In the others, one eye is hidden or almost hidden, and the detector
places the second eye in the background.
"""

MOST_RESIDUAL = 0.245
"""Largest distance of a landmark from its place in the template, in eye distances.

All but seven of the 460 portraits have less; these seven are profiles, too. Below this distance the
landmarks are in the right order: eyes above the nose, nose above the mouth, left on the left.
"""


def pose(landmarks: np.ndarray) -> str:
    """From which side a face is seen. The face may be rotated in the picture.

    Args:
        landmarks: 5 or 68 landmarks (N, 2), in pixels.

    Returns:
        "front"; "profile" if the nose is so far to the side that one eye must be hidden; "unsure"
        if the landmarks are not arranged like those of a face, so they must be wrong.

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
