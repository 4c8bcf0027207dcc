"""`journeysim worlds`: what is packaged."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.text import Text

from journeysim.cli.terminal import out


def worlds(
    name: Annotated[str | None, typer.Argument(help="A packaged world, or a YAML file; by default lists all.")] = None,
) -> None:
    """List the packaged worlds, or print one as YAML, to be changed and simulated.

    \b
    Examples:
      journeysim worlds
      journeysim worlds considered-purchase > my-world.yaml
    """
    from journeysim import worlds as packaged

    if name is not None:
        sys.stdout.write(packaged.source(name))
        return
    for each in packaged.names():
        world = packaged.load(each)
        out.print(Text(world.name, style="bold"))
        out.print(
            f"  {world.title}\n  {len(world.stages)} stages, {len(world.channels)} channels, "
            f"{len(world.personas)} personas, {len(world.pain_points)} pain points",
            highlight=False,
            markup=False,
        )
