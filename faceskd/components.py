"""Facial components: from landmarks to the four boxes that dictionaries are made of.

Boxes follow DFDNet (Li et al., ECCV 2020): from 68 landmarks, a component's box is centred on
the mean of its points and its half side is half of their largest extent, at least 8 px in a
256 px face. Five landmarks give boxes of the same centre and size through constants fitted to
agree with the 68-point ones (`tests/test_components.py`).
"""

COMPONENTS = ("left_eye", "right_eye", "nose", "mouth")
"""The order of components wherever boxes are stacked. Left and right are the picture's."""
