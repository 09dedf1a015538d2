"""Training runs: stages, losses, optimizer, loop and records."""
