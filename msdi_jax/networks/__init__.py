"""The networks and their layers. This package reads no configuration and no file."""
