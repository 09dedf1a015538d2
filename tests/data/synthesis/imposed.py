"""Shakes whose every number is known."""

import dataclasses

import numpy as np

from msdi_jax.data.synthesis.camera_motion import Layer, View, draw_shake

HEIGHT, WIDTH = 64, 96
DISC = Layer(
    inverse_depth=2.5,
    center=(0.0, 0.0),
    radius=12.0,
    softness=1.0,
    harmonics=np.zeros((4, 2)),
    motion=np.zeros((33, 3)),
    view=View(0, 0, 0),
)


def imposed(camera=None, *, instants=33, domain="linear", noise=False, **fields):
    """A shake with the given camera path, without highlights, layers or noise."""
    shake = draw_shake(5, HEIGHT, WIDTH, domain=domain, max_layers=0)
    quiet = {} if noise else {"shot_noise": 0.0, "read_noise": 0.0}
    camera = np.zeros((instants, 6)) if camera is None else camera
    fields = {"layers": (), "highlight_gain": 0.0, "view": View(0, 0, 0)} | quiet | fields
    return dataclasses.replace(shake, camera=camera, **fields)


def translation(x, y=0.0, *, instants=33):
    """Steady translation of the background by (x, y) px over the exposure."""
    focal = draw_shake(5, HEIGHT, WIDTH).focal
    camera = np.zeros((instants, 6))
    camera[:, 3:5] = np.linspace(-0.5, 0.5, instants)[:, None] * np.array([x, y]) / focal
    return camera
