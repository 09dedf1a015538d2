"""Stand-ins for published PyTorch files."""

import os
from pathlib import Path

import numpy as np
import torch

REFERENCE = Path(__file__).parent / "reference"
MSDI_NET, DISCRIMINATOR = "msdi_net-w8", "MultiscaleDiscriminator-w8"
ENCODER, PYRAMID = "net_prior.", "prior_upsampling."


def published_shapes(name):
    """Read published key → (shape, type) of tests/reference/NAME.tsv."""
    lines = (REFERENCE / f"{name}.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    return {
        key: (tuple(map(int, filter(None, shape.split("x")))), kind) for key, shape, kind in rows
    }


def tensors(weights):
    return {key: torch.from_numpy(np.array(array)) for key, array in weights.items()}


def part(weights, prefix):
    """Select the weights below `prefix`, and remove it from their keys."""
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def save(path, content):
    torch.save(content, path)
    return path


class CreatesFile:
    """Runs a command that creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)
