"""Packaged worlds: one commented YAML file each, and `load` to read them or a file of your own."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from journeysim.errors import InputError
from journeysim.spec import World
from journeysim.text_files import read_text
from journeysim.yaml_files import did_you_mean, parse_model

_SUFFIXES = (".yaml", ".yml")


def names() -> tuple[str, ...]:
    """Names of the packaged worlds.

    >>> "considered-purchase" in names()
    True
    """
    found = (file.name for file in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml")))


def load(name: str | Path) -> World:
    """A packaged world by its name, or a world from a YAML file by its path.

    Raises
    ------
    InputError : no packaged world has this name, or the file is missing or wrong
    """
    path = Path(name)
    if name not in names() and (path.suffix in _SUFFIXES or path.is_file()):
        return World.from_yaml(path)
    return parse_model(source(name), World, source=f"{name}.yaml")


def source(name: str | Path) -> str:
    """The YAML of a packaged world with its comments, or of a file.

    Raises
    ------
    InputError : no packaged world has this name, or the file cannot be read
    """
    if name in names():
        return files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    path = Path(name)
    if path.suffix in _SUFFIXES or path.is_file():
        return read_text(path)
    advice = did_you_mean(name, names())
    raise InputError(f"No packaged world is called {str(name)!r} ({advice}). A file of your own ends in .yaml.")
