"""One page about a run: `report.html` opens from disk and needs no server and no other file.

Whatever the run directory lacks is named on the page; only `config.json` has to be there.
"""

from msdi_jax.report.page import write_report
from msdi_jax.report.summary import verdict

__all__ = ["verdict", "write_report"]
