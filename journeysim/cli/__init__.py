"""The command line: `app` is the application, every command has a file of its own."""

from journeysim.cli import analyze, attribute, demo, simulate, worlds
from journeysim.cli.app import app

for command in (demo.demo, simulate.simulate, attribute.attribute, analyze.analyze):
    app.command()(command)  # in the order of `--help`
app.add_typer(worlds.worlds, name="worlds")

__all__ = ["app"]
