"""Blurry/sharp pairs of your own, as a tfds data set."""
