"""The networks and their layers. Nothing here reads a configuration or a file."""
