"""`journeysim worlds`: what is packaged, what a world says, and its YAML."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich import box
from rich.table import Table as Grid
from rich.text import Text
from typer.core import TyperGroup

from journeysim.cli.terminal import out, print_line, print_title, say_where
from journeysim.errors import InputError

if TYPE_CHECKING:
    from journeysim.spec import World
    from journeysim.world_tables import Table

SUFFIXES = (".png", ".svg")


class _Worlds(TyperGroup):
    """Tells who gives the name of a world where a command belongs what to write."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            _no_command(args[0])
        return super().resolve_command(ctx, args)


def _no_command(given: str) -> NoReturn:
    from journeysim import worlds as packaged

    packaged.source(given)  # a name that nobody knows is told as such
    raise InputError(
        f"{given!r} is a world, not a command: write `journeysim worlds show {given}` to read it, or "
        f"`journeysim worlds yaml {given} > my-world.yaml` to change it."
    )


worlds = typer.Typer(cls=_Worlds)

Name = Annotated[str, typer.Argument(help="Name of a packaged world, or a YAML file.")]


@worlds.callback(invoke_without_command=True)
def _by_default(ctx: typer.Context) -> None:
    """List the packaged worlds, show one as tables and as a map, or print its YAML.

    \b
    Examples:
      journeysim worlds
      journeysim worlds show considered-purchase --map considered-purchase.png
      journeysim worlds yaml considered-purchase > my-world.yaml
    """
    if ctx.invoked_subcommand is None:
        list_worlds()


@worlds.command("list")
def list_worlds() -> None:
    """List the packaged worlds with a line on each.

    \b
    Example:
      journeysim worlds list
    """
    from journeysim import worlds as packaged
    from journeysim.world_tables import begins

    grid = Grid(box=None, show_header=False, padding=(0, 1, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for heading, group in packaged.groups().items():
        grid.add_row(Text(f"\n{heading}", style="not bold dim"), "")
        for name in group:
            world = packaged.load(name)
            size = f"{begins(world)}, {len(world.channels)} channels, {world.horizon_days:g} days"
            grid.add_row(Text(f"  {name}"), Text.assemble(world.title, "\n", (size, "dim")))
    out.print(grid, highlight=False)
    print_line("\nRead one:    journeysim worlds show NAME [--map map.png]")
    print_line("Change one:  journeysim worlds yaml NAME > my-world.yaml")


@worlds.command("show")
def show(
    name: Name,
    map_file: Annotated[
        Path | None, typer.Option("--map", help="Draw the world's journey map into this new .png or .svg file.")
    ] = None,
) -> None:
    """Print a world as tables, and draw its map: stages and moves, channels and pain points by stage.

    \b
    Examples:
      journeysim worlds show b2b-purchase
      journeysim worlds show my-world.yaml --map map.svg
    """
    from journeysim import worlds as packaged
    from journeysim.world_tables import facts, world_tables

    world = packaged.load(name)
    if map_file is not None:
        _write_map(world, map_file)
    out.print(Text(world.name, style="bold"))
    for paragraph in (world.title, world.about):
        if paragraph:
            out.print(Text(paragraph))
    for fact in facts(world):
        out.print(_item(fact), highlight=False)
    for table in world_tables(world):
        _print_table(table)
    if map_file is not None:
        say_where(map_file)


@worlds.command("yaml")
def yaml(name: Name) -> None:
    """Print a world as YAML with its comments, to be changed and simulated.

    \b
    Example:
      journeysim worlds yaml considered-purchase > my-world.yaml
    """
    from journeysim import worlds as packaged

    sys.stdout.write(packaged.source(name))


def _write_map(world: World, file: Path) -> None:
    if file.suffix not in SUFFIXES:
        raise InputError(f"--map {str(file)!r}: the name must end in {' or '.join(SUFFIXES)}.")
    if file.exists():
        raise InputError(f"--map {str(file)!r} exists already; choose another name or remove it.")
    if not file.parent.is_dir():
        raise InputError(f"--map {str(file)!r}: no directory {str(file.parent)!r}; make it first.")
    from journeysim.world_map import world_map

    world_map(world).savefig(file, dpi=120)


def _item(text: str) -> Grid:
    """A line of a list; what is too long is folded below its own beginning."""
    grid = Grid.grid(padding=(0, 1, 0, 0))
    grid.add_row(Text("·"), Text(text))
    return grid


def _print_table(table: Table) -> None:
    print_title(table.title)
    grid = Grid(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    name_is = 0 if table.headings[0] not in table.numbers else 1  # names are to be read whole, and to be copied
    for i, heading in enumerate(table.headings):
        right = heading in table.numbers
        grid.add_column(heading, justify="right" if right else "left", overflow="fold", no_wrap=right or i == name_is)
    for row in table.rows:
        grid.add_row(*(Text(cell) for cell in row))
    out.print(grid, highlight=False)
    if table.note:
        out.print(Text(table.note, style="dim"))
