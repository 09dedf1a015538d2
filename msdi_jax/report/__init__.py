"""One page about a run: `report.html` opens from disk and needs no server and no other file.

The page names the files missing in the run directory; only `config.json` is required.
"""

from msdi_jax.report.page import write_report
from msdi_jax.report.summary import verdict

__all__ = ["verdict", "write_report"]
