"""Data of the networks: blur synthesis, photographs, tfds builders and the Grain pipeline."""
