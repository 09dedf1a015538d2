import json
import re
import sys

import pytest

from msdi_jax.runtime.optional import require


def test_an_installed_package_is_returned():
    assert require("json", "export", "a file") is json


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    message = "a .onnx file needs onnx: pip install 'msdi_jax[export]'"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        require("onnx", "export", "a .onnx file")
