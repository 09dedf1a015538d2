"""`python -m msdi_jax`: the same as `msdi`."""

from msdi_jax.cli.main import main

if __name__ == "__main__":
    main()
