"""What sets of blurry and sharp files share: matching, checks, downloads, the builder."""
