"""Blur synthesis: camera motion, exposures, and one blur on two photographs."""
