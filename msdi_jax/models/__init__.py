"""A network with its description and weights, on disk and in memory."""
