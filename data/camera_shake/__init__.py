"""Photographs blurred by a synthetic camera shake, as a tfds data set."""
