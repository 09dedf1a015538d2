"""The RealBlur-J pairs, as a tfds data set."""
