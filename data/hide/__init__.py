"""The HIDE pairs, as a tfds data set."""
