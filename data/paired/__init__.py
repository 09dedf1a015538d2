"""Common parts of sets of blurry and sharp files: matching, checks, downloads, the builder."""
