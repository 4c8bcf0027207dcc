"""simulate_to: a World into a log on disk, in constant memory, shard by shard; a run that was stopped goes on."""

from __future__ import annotations

import json
import math
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from journeysim.errors import InputError
from journeysim.log_directory import LogDirectory, write_manifest
from journeysim.log_parts import Part, PartWriter, is_whole, write_whole
from journeysim.new_outputs import making
from journeysim.simulation.plan import Plan, difference, plan_shards
from journeysim.simulation.recipe import START, Recipe
from journeysim.simulation.tasks import in_order, simulate_task, workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Executor
    from datetime import datetime

    from journeysim.simulation.engines import Engine
    from journeysim.spec import World

PLAN = "plan.json"
LOCK = ".lock"  # with a dot, like what is half written: gone when the log is whole


def simulate_to(
    directory: str | Path,
    world: World,
    *,
    n_customers: int,
    horizon_days: float,
    seed: int,
    start: datetime = START,
    engine: Engine = "auto",
    executor: Executor | None = None,
    threads: int | None = None,
    shard_customers: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> LogDirectory:
    """Simulate a population of any size into a directory: the log that `simulate` would give, in parts.

    Until it is whole the directory is called `<directory>.partial`. Whatever stops a run leaves the shards that are
    done there; the same call goes on from them and gives the identical log. The memory that it takes does not grow with
    the population: a worker holds some thousand customers at a time, or one market where customers meet.

    Parameters
    ----------
    directory : new; workers on other machines must see it under the same name
    n_customers, horizon_days, seed, start, engine, executor, threads : as `simulate`
    shard_customers : customers per part, rounded up to whole markets where customers meet; by default some seconds of
        work. What the log says, and its hash, do not depend on it
    on_progress : called with the number of customers finished: first with those of an earlier run, then at each shard

    Raises
    ------
    InputError : the directory exists; or `<directory>.partial` is of other settings, which it names; or as `simulate`
    """
    plan = plan_shards(Recipe(world, n_customers, horizon_days, seed, start), engine, shard_customers)
    target, settings = Path(directory), plan.to_json()
    with making(target):
        folder = _begin(target, settings)
    with _alone(folder):
        try:
            with workers(executor, threads) as pool:
                parts = _write_all(pool, folder, plan, on_progress or (lambda _: None))
            log = LogDirectory(path=folder, parts=tuple(parts), **plan.recipe.about_log, recipe=settings)
            return _finish(target, log)
        except BaseException as error:
            found = unfinished(target)
            if found is not None and found.n_done:
                error.add_note(f"{found}; the same command goes on from there")
            else:
                shutil.rmtree(folder, ignore_errors=True)
            raise


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a run that was stopped left behind."""

    folder: Path
    n_done: int
    n_shards: int
    n_events: int

    def __str__(self) -> str:
        return f"{self.n_done:,} of {self.n_shards:,} shards are in {self.folder}"


def unfinished(directory: str | Path) -> Unfinished | None:
    """What there is of a log whose run was stopped; None if there is nothing to go on from."""
    folder = _partial(Path(directory))
    said = _read_plan(folder)
    if said is None:
        return None
    n_shards = math.ceil(said["n_customers"] / said["shard_customers"])
    parts = [part for number in range(n_shards) if (part := _noted(folder, number))]
    return Unfinished(folder, len(parts), n_shards, sum(part.n_events for part in parts))


def write_shard(folder: Path, plan: Plan, number: int) -> Part:
    """Simulate a shard into its files, and note that it is done. Runs in any process on any machine."""
    if not folder.is_dir():
        raise InputError(f"A worker does not find {folder}: all workers must see the directory under the same name.")
    with PartWriter(folder, number) as writer:
        for first, last in plan.chunks(number):
            events, customers = simulate_task(plan.recipe, plan.engine, first, last)
            writer.add(pa.concat_tables(events), customers)
            del events, customers  # fresh memory for the next chunk would cost 4 to 16 ns per event (measured)
        part = writer.finish()
    write_whole(_note(folder, number), part.to_json())  # the last step: a shard without its note is not done
    return part


def earlier_part(folder: Path, number: int) -> Part | None:
    """A shard that is done and undamaged, else None."""
    part = _noted(folder, number)
    return part if part is not None and is_whole(folder, part) else None


def _write_all(pool: Executor, folder: Path, plan: Plan, on_progress: Callable[[int], None]) -> list[Part]:
    parts: dict[int, Part] = {}
    noted = [number for number in range(len(plan)) if _note(folder, number).exists()]
    with in_order(pool, earlier_part, ((folder, number) for number in noted)) as found:
        parts.update((number, part) for number, part in zip(noted, found, strict=True) if part)
    done = sum(part.n_customers for part in parts.values())
    on_progress(done)
    missing = [number for number in range(len(plan)) if number not in parts]
    with in_order(pool, write_shard, ((folder, plan, number) for number in missing)) as written:
        for number, part in zip(missing, written, strict=True):
            if not (folder / part.files[0]).exists():
                raise InputError(f"Workers write to another {folder} than this one: they must share a file system.")
            parts[number] = part
            done += part.n_customers
            on_progress(done)
    return [parts[number] for number in range(len(plan))]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other runs away from a directory until this one ends, however it ends: the system lets go of the lock.

    Raises
    ------
    InputError : another run writes to it
    """
    if sys.platform == "win32":  # no such locks there: two runs at once are not told
        yield
        return
    import fcntl

    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            advice = "Wait for it, stop it, or choose another name."
            raise InputError(f"Another run is writing to {folder}. {advice}") from None
        except OSError:  # a file system without locks
            pass
        yield


def _begin(target: Path, here: Mapping[str, Any]) -> Path:
    """The directory to write to, new or of an earlier run with the same settings."""
    folder = _partial(target)
    there = _read_plan(folder)
    if there is None:
        if folder.exists() and any(
            not file.name.startswith(".") for file in folder.iterdir()
        ):  # those are half written
            raise InputError(f"{folder} is in the way, and is no unfinished log. Move it, or choose another name.")
        folder.mkdir(exist_ok=True)
        write_whole(folder / PLAN, here)
    elif differs := difference(there, here):
        raise InputError(
            f"{unfinished(target)}, but of other settings: {differs}. Give the settings from there to go on with that "
            "run, remove the directory to begin anew, or choose another name."
        )
    (folder / LOCK).touch()
    return folder.resolve()


def _finish(target: Path, log: LogDirectory) -> LogDirectory:
    write_manifest(log)
    with making(target):
        log.path.rename(target)
    for pattern in (PLAN, "done-*.json", ".*"):  # the last are of writers that were killed
        for file in target.glob(pattern):
            file.unlink(missing_ok=True)
    return replace(log, path=target)


def _partial(target: Path) -> Path:
    return target.with_name(f"{target.name}.partial")


def _note(folder: Path, number: int) -> Path:
    return folder / f"done-{number:05}.json"


def _noted(folder: Path, number: int) -> Part | None:
    said = _read_json(_note(folder, number))
    try:
        return None if said is None else Part.from_json(said)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _read_plan(folder: Path) -> Mapping[str, Any] | None:
    said = _read_json(folder / PLAN)
    return said if said and all(isinstance(said.get(key), int) for key in ("n_customers", "shard_customers")) else None


def _read_json(file: Path) -> Mapping[str, Any] | None:
    """What a file says; None if there is none or it is damaged."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None
