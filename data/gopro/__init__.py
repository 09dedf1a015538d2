"""The GoPro pairs, as a tfds data set."""
