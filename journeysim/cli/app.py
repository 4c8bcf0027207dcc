"""The application: how commands end. Exit codes: 0 done, 1 a fault of the program, 2 a fault of the input."""

from __future__ import annotations

import errno
import signal
import threading
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.markup import escape
from typer.core import TyperGroup

from journeysim.cli.terminal import err, out
from journeysim.errors import InputError
from journeysim.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Terminated(BaseException):
    """SIGTERM. Not a KeyboardInterrupt, which samplers may take as "enough draws"."""


@contextmanager
def _termination_raises() -> Iterator[None]:
    """Let SIGTERM unwind the stack like an interrupt, so that unfinished outputs are removed."""
    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield
        return

    def terminate(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one shall not stop the tidying up
        raise _Terminated

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class _Commands(TyperGroup):
    """Tells what went wrong in one message, without a traceback; a fault of the program itself keeps its own."""

    def invoke(self, ctx: Any) -> object:
        try:
            with _termination_raises():
                return super().invoke(ctx)
        except InputError as error:
            _fail(_with_options(str(error), self.commands.get(ctx.invoked_subcommand)), exit_code=2)
        except KeyboardInterrupt as stop:
            _fail(f"interrupted{_what_is_left(stop) or '; nothing was written'}.", exit_code=130)
        except _Terminated as stop:
            _fail(f"terminated{_what_is_left(stop) or '; nothing was written'}.", exit_code=143)
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever was reading has seen enough
                raise
            _fail(f"{error}{_what_is_left(error)}", exit_code=1)
        except BrokenExecutor as error:
            _fail(f"a worker was ended from outside; is memory short?{_what_is_left(error)}", exit_code=1)


_ARGUMENTS = {"n_customers": ("customers",), "horizon_days": ("days", "conversion_days", "retention_days")}
"""Arguments of functions that commands call by other names, or add up from several options."""


def _with_options(message: str, command: Any) -> str:
    """A message on an argument of a function, "horizon_days is 0; ...", with the option that users of it know."""
    name, space, rest = message.partition(" ")
    known = {param.name: param.opts[0] for param in command.params if param.name} if command else {}
    options = [known[each] for each in _ARGUMENTS.get(name, (name,)) if each in known]
    if not options or not rest.startswith(("is ", "must ")):
        return message
    return f"{' plus '.join(options)}{space}{rest}"


def _what_is_left(stop: BaseException) -> str:
    """What a run that can go on said about its remains; empty for other runs, which leave nothing."""
    notes = getattr(stop, "__notes__", [])
    return f": {'; '.join(notes)}" if notes else ""


def _fail(message: str, *, exit_code: int) -> NoReturn:
    err.print(f"[bold red]Error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(exit_code)


app = typer.Typer(
    name="journeysim",
    cls=_Commands,
    help="Simulate customer journeys, attribute conversions to channels, forecast what an improvement would do.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Seed = Annotated[int, typer.Option(help="The same seed gives the same result on every machine.")]


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"journeysim {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...
