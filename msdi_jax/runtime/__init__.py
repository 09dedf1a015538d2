"""Devices, processes, compilation, and files on disk."""
