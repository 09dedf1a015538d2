"""A run: its stages, losses, optimizer, loop and records."""
