import json

import numpy as np

from msdi_jax.runtime.json_text import to_json


def refuse(name):
    raise AssertionError(name)


def test_numbers_that_are_not_finite_become_null():
    value = {"a": [1.5, float("inf"), {"b": (float("nan"), -np.inf)}], 3: np.float64("inf"), "c": 0}
    text = to_json(value, indent=2)
    read = json.loads(text, parse_constant=refuse)
    assert read == {"a": [1.5, None, {"b": [None, None]}], "3": None, "c": 0}
    assert to_json(1 / 3) == repr(1 / 3)
