"""The experiments: one page of settings each, all starting from `base.py`."""
