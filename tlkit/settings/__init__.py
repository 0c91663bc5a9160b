"""Every option, written once: the command line, `settings.json` and the docs are made from these classes."""
