"""The same log by any executor, in memory and on disk, and no task left behind."""

import pickle
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from shard_worlds import HOW, WORLDS
from small_worlds import full_world

from journeysim.errors import InputError
from journeysim.simulation import simulate, tasks
from journeysim.simulation.recipe import Recipe
from journeysim.simulation.shards import simulate_to
from journeysim.simulation.tables import tables


@pytest.fixture(scope="module")
def expected():
    """Hashes of the logs of one thread and one chunk, by world."""
    return {
        name: simulate(world, n_customers=n, **HOW, threads=1, chunk_customers=n).hash()
        for name, (world, n) in WORLDS.items()
    }


@pytest.fixture(scope="module")
def pool():
    with tasks.processes(2) as executor:
        yield executor


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize(("threads", "chunk"), [(1, 1), (2, 77), (2, 500), (1, 999), (2, 10_000)])
def test_threads_and_chunks_do_not_change_the_log(name, threads, chunk, expected):
    world, n = WORLDS[name]
    n_used = n if chunk > 1 else min(n, 1000)  # one by one takes long
    log = simulate(world, n_customers=n_used, **HOW, threads=threads, chunk_customers=chunk)
    whole = expected[name] if n_used == n else simulate(world, n_customers=n_used, **HOW).hash()
    assert log.hash() == whole


@pytest.mark.parametrize("name", WORLDS)
def test_processes_do_not_change_the_log(name, pool, expected):
    world, n = WORLDS[name]
    assert simulate(world, n_customers=n, **HOW, executor=pool, chunk_customers=300).hash() == expected[name]


@pytest.fixture(scope="module")
def dask():
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None)
    with cluster, Client(cluster) as client, client.get_executor() as executor:
        yield executor


@pytest.mark.parametrize("name", WORLDS)
def test_a_dask_cluster_does_not_change_the_log(name, dask, expected):
    world, n = WORLDS[name]
    assert simulate(world, n_customers=n, **HOW, executor=dask, chunk_customers=300).hash() == expected[name]


@pytest.mark.parametrize("name", WORLDS)
def test_neither_changes_a_byte_on_disk(name, pool, dask, expected, tmp_path):
    world, n = WORLDS[name]
    found = {}
    for workers, executor in {"threads": None, "processes": pool, "dask": dask}.items():
        log = simulate_to(tmp_path / workers, world, n_customers=n, **HOW, executor=executor, shard_customers=500)
        assert log.hash() == expected[name]
        found[workers] = {file.name: file.read_bytes() for file in log.path.iterdir()}
    assert found["processes"] == found["threads"] == found["dask"]


def test_another_seed_gives_another_log(pool):
    """Negative control of all of the above."""
    world, n = WORLDS["alone"]
    logs = [simulate(world, n_customers=n, **{**HOW, "seed": seed}, executor=pool) for seed in (5, 6)]
    assert logs[0].hash() != logs[1].hash()


@pytest.mark.parametrize("name", WORLDS)
def test_a_recipe_can_be_pickled(name):
    recipe = Recipe(WORLDS[name][0], 10, 3, seed=1)
    again = pickle.loads(pickle.dumps(recipe))
    assert again == recipe
    logs = [simulate(r.world, n_customers=10, horizon_days=3, seed=1) for r in (recipe, again)]
    assert logs[0].equals(logs[1])


def test_tables_are_made_once_for_equal_recipes_and_forgotten_after_a_while(monkeypatch):
    made = []
    monkeypatch.setattr(tasks, "tables", lambda recipe: made.append(recipe.seed) or object())
    world = full_world()
    first = tasks.tables_of(Recipe(world, 10, 3, seed=100))
    assert tasks.tables_of(pickle.loads(pickle.dumps(Recipe(world, 10, 3, seed=100)))) is first
    assert tasks.tables_of(Recipe(world, 11, 3, seed=100)) is not first
    assert made == [100, 100]
    for seed in range(20):
        tasks.tables_of(Recipe(world, 10, 3, seed=seed))
    assert len(tasks._known) == tasks._known.maxlen
    assert tasks.tables_of(Recipe(world, 10, 3, seed=100)) is not first
    tasks._known.clear()  # nobody else shall find an object() there


def test_one_recipe_in_many_threads_makes_its_tables_once(monkeypatch):
    made = []
    monkeypatch.setattr(tasks, "tables", lambda recipe: made.append(recipe) or tables(recipe))
    simulate(full_world(), n_customers=3_000, horizon_days=1.5, seed=77, threads=4, chunk_customers=1)
    assert len(made) == 1


# --- executors ---


def test_an_executor_and_threads_exclude_each_other():
    with ThreadPoolExecutor(1) as pool, pytest.raises(InputError, match="executor and threads=2 were both given"):
        simulate(WORLDS["alone"][0], n_customers=5, **HOW, executor=pool, threads=2)


@pytest.mark.parametrize("wrong", [ThreadPoolExecutor, 4, "dask"])
def test_what_is_no_executor_is_refused(wrong):
    with pytest.raises(InputError, match=r"must be a concurrent\.futures\.Executor.*client\.get_executor"):
        simulate(WORLDS["alone"][0], n_customers=5, **HOW, executor=wrong)


def test_an_executor_of_the_user_stays_open():
    with ThreadPoolExecutor(1) as pool:
        simulate(WORLDS["alone"][0], n_customers=5, **HOW, executor=pool)
        assert pool.submit(int, "3").result() == 3


class Lazy:
    """An executor that works only when somebody waits for a result, and remembers how much it was given."""

    def __init__(self):
        self.open = self.most = 0

    def submit(self, work, *task):
        self.open += 1
        self.most = max(self.most, self.open)
        future = Future()

        def result(timeout=None):
            self.open -= 1
            return work(*task)

        future.result = result
        return future


def test_a_bounded_number_of_tasks_is_submitted():
    lazy, n = Lazy(), 5 * tasks.AT_ONCE
    with tasks.in_order(lazy, abs, ((-i,) for i in range(n))) as results:
        assert list(results) == [*range(n)]
    assert lazy.most == tasks.AT_ONCE


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["task", "consumer"])
def test_after_a_failure_nothing_begins_and_nothing_goes_on(error, where):
    begun, ended, gate = [], [], threading.Event()

    def work(i):
        begun.append(i)
        if i == 2 and where == "task":
            raise error
        if i > 2:
            gate.wait(0.2)  # so that some are at work when others are cancelled
        ended.append(i)
        return i

    def consume(results):
        for i in results:
            if i == 1 and where == "consumer":
                raise error

    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(error), tasks.in_order(pool, work, ((i,) for i in range(200))) as results:
            consume(results)
        at_the_end = len(begun), len(ended)
        assert at_the_end[0] < 20
        assert at_the_end[0] - at_the_end[1] == (where == "task")  # the one that failed
        gate.set()
        assert pool.submit(len, begun).result() == at_the_end[0]


@pytest.mark.parametrize("number", [0, -1, 10**6])
def test_a_number_of_processes_out_of_range_is_refused(number):
    with pytest.raises(InputError, match=f"processes is {number}"), tasks.processes(number):
        pass


def test_workers_leave_interrupts_to_their_parent(pool):
    import signal

    assert isinstance(pool, ProcessPoolExecutor)
    assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN
