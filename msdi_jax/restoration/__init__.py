"""Images in, restored images out, within a bound on memory."""
