"""What the degradation representation holds, and what can be done with it."""
