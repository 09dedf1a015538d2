"""What the networks eat: blur synthesis, photographs, tfds builders and the Grain pipeline."""
