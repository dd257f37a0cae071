from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from hurnet_stream.runtime.leading import Leading
from tests.contract.stores import RedisStores, Stores


def test_the_first_holds_until_it_lets_go(stores: Stores) -> None:
    one, other = stores.leases(), stores.leases()
    assert one.acquire("solver", "a", 30) == "a"
    assert other.acquire("solver", "b", 30) == "a"
    assert other.acquire("responder-1", "b", 30) == "b"
    one.release("solver", "a")
    assert other.acquire("solver", "b", 30) == "b"


def test_only_the_holder_can_release(stores: Stores) -> None:
    leases = stores.leases()
    leases.release("solver", "a")
    assert leases.acquire("solver", "a", 30) == "a"
    leases.release("solver", "b")
    assert leases.acquire("solver", "b", 30) == "a"


def test_a_lease_lapses_unless_it_is_renewed(stores: Stores) -> None:
    leases = stores.leases()
    assert leases.acquire("solver", "a", 0.3) == "a"
    assert leases.acquire("solver", "a", 60) == "a"
    time.sleep(0.5)
    assert leases.acquire("solver", "b", 60) == "a"  # the first would have lapsed, so the renewal counts
    assert leases.acquire("solver", "a", 0.3) == "a"
    time.sleep(0.5)
    assert leases.acquire("solver", "b", 60) == "b"


def test_of_many_exactly_one_gets_it(stores: Stores) -> None:
    clients = [stores.leases() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        holders = list(pool.map(lambda i: clients[i].acquire("solver", f"w{i}", 30), range(8)))
    assert len(set(holders)) == 1


def test_a_lease_is_kept_while_one_piece_of_work_takes_longer(stores: Stores) -> None:
    # The thread that renews the lease may be late by two thirds of it.
    first = Leading(stores.leases(), "solver", "a", lease_s=6, patience_s=60)
    second = Leading(stores.leases(), "solver", "b", lease_s=6, patience_s=60)
    assert first.leads()
    with first.at_work():
        until = time.monotonic() + 7  # longer than the lease
        while time.monotonic() < until:
            assert not second.leads()
            time.sleep(0.05)
    first.release()
    assert second.leads()
    assert not first.leads()


def test_a_lease_that_another_program_wrote_is_respected(redis_stores: RedisStores) -> None:
    redis_stores.client.set(f"{redis_stores.settings.prefix}:lease:solver", b"\xff\xfe", ex=60)
    leases = redis_stores.leases()
    assert leases.acquire("solver", "a", 30) not in ("", "a")
    assert leases.holder("solver")
