"""`python -m journeysim.cli` is the command `journeysim`."""

from journeysim.cli import app

app()
