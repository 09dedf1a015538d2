"""The `msdi` command, one file per subcommand."""
