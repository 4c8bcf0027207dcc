"""The command line: `app` is the application, every command has a file of its own."""

from journeysim.cli import analyze, attribute, calibrate, compare, demo, kpis, simulate, truth, twin, whatif, worlds
from journeysim.cli.app import app

COMMANDS = (  # in the order of `--help`
    demo.demo,
    simulate.simulate,
    whatif.whatif,
    truth.truth,
    attribute.attribute,
    compare.compare,
    calibrate.calibrate,
    kpis.kpis,
    twin.twin,
    analyze.analyze,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(worlds.worlds, name="worlds")

__all__ = ["app"]
