"""The RealBlur-R pairs, as a tfds data set."""
