"""How it is run: one thin file per command. `run.py` is the table of contents of the whole program."""
