"""The command line: `app` is the application, every command has a file of its own."""

from journeysim.cli import analyze, attribute, demo, simulate, truth, worlds
from journeysim.cli.app import app

for command in (demo.demo, simulate.simulate, truth.truth, attribute.attribute, analyze.analyze, worlds.worlds):
    app.command()(command)  # in the order of `--help`

__all__ = ["app"]
