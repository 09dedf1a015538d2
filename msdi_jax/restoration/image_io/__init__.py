"""Photographs in and out of files: 8 and 16 bit, colour and grey, with alpha and metadata."""

from msdi_jax.restoration.image_io.formats import READ_ONLY, READABLE, SUFFIXES
from msdi_jax.restoration.image_io.photograph import (
    Metadata,
    Photograph,
    to_8_bit,
    to_uint8,
    to_uint16,
    to_unit,
)
from msdi_jax.restoration.image_io.reading import below, read, read_photograph, read_size
from msdi_jax.restoration.image_io.writing import (
    check_fits,
    check_folder_of,
    check_writable,
    losses,
    write,
    write_photograph,
)

__all__ = [
    "READABLE",
    "READ_ONLY",
    "SUFFIXES",
    "Metadata",
    "Photograph",
    "below",
    "check_fits",
    "check_folder_of",
    "check_writable",
    "losses",
    "read",
    "read_photograph",
    "read_size",
    "to_8_bit",
    "to_uint8",
    "to_uint16",
    "to_unit",
    "write",
    "write_photograph",
]
