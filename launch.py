"""Train and evaluate what a configuration describes: `msdi train`, from a checkout.

    python launch.py --config configs/quickstart.py --workdir runs/quickstart
    python launch.py --config configs/quickstart.py --workdir runs/wide --config.width=16

Repeating the command resumes the run. On several hosts, with a run directory that all of them see,
run on each:

    python launch.py --config … --workdir … --coordinator=HOST:PORT --num_processes=N --process_id=I
"""

import sys

from msdi_jax.cli.main import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
