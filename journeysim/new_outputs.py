"""Outputs that exist whole or not at all, and never overwrite anything: new files, new directories."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def new_directory(target: str | Path) -> Iterator[Path]:
    """A directory to fill that gets the name `target` only when all went well.

    Raises
    ------
    InputError : something stands at `target` already; nothing is ever overwritten
    """
    target = Path(target)
    with making(target):
        unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        unfinished.chmod(0o755)  # mkdtemp makes it private
        yield unfinished
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def new_file(target: str | Path) -> Iterator[Path]:
    """A file to write that gets the name `target` only when all went well. Raises like `new_directory`."""
    target = Path(target)
    with making(target):
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(handle)
    unfinished = Path(name)
    try:
        unfinished.chmod(0o644)  # mkstemp makes it private
        yield unfinished
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def making(target: Path) -> Iterator[None]:
    """Something new at `target`, in a folder that is there from now on; a system that refuses is told as InputError."""
    if target.exists():
        raise InputError(f"{target} exists already. Choose another name, or remove it first.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(f"{target} cannot be made: {error.strerror} ({error.filename}).") from None
