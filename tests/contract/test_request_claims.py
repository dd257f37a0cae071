"""What claims on requests promise, of Redis, Valkey and their twin."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from hurnet_stream.errors import Unreadable
from hurnet_stream.ports import Claim
from tests.contract.stores import RedisStores, Stores

CLAIM = Claim("gateway/1", "asks", {"texts/0": 41, "texts/1": 2})


def test_a_claim_is_put_once_and_changed_only_by_who_knows_it(stores: Stores) -> None:
    one, other = stores.claims(60), stores.claims(60)
    assert one.put("k", CLAIM, None).done
    refused = other.put("k", replace(CLAIM, owner="gateway/2"), None)
    assert (refused.done, refused.claim) == (False, CLAIM)
    written = replace(CLAIM, records=((0, 41), (1, 2)))
    assert one.put("k", written, CLAIM).done
    assert other.put("k", replace(CLAIM, owner="gateway/2"), CLAIM).claim == written
    assert other.put("another", CLAIM, None).done


def test_what_is_dropped_is_gone_and_what_changed_meanwhile_stays(stores: Stores) -> None:
    claims = stores.claims(60)
    claims.put("k", CLAIM, None)
    claims.drop("k", replace(CLAIM, left=True))
    assert claims.put("k", CLAIM, None).claim == CLAIM
    claims.drop("k", CLAIM)
    assert claims.put("k", CLAIM, None).done


def test_a_claim_has_an_age_and_is_forgotten(stores: Stores) -> None:
    began, claims = time.monotonic(), stores.claims(60)
    claims.put("k", CLAIM, None)
    time.sleep(0.4)
    assert 0.3 < claims.put("k", CLAIM, None).age_s < time.monotonic() - began + 0.1
    forgetful = stores.claims(0.3)
    forgetful.put("other", CLAIM, None)
    time.sleep(0.5)
    assert forgetful.put("other", replace(CLAIM, left=True), CLAIM).claim is None
    assert forgetful.put("other", CLAIM, None).done


def test_of_many_exactly_one_puts_its_claim(stores: Stores) -> None:
    clients = [stores.claims(60) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        puts = pool.map(lambda i: clients[i].put("k", replace(CLAIM, owner=f"g/{i}"), None), range(8))
    standings = list(puts)
    assert sum(each.done for each in standings) == 1
    assert len({each.claim.owner for each in standings if each.claim}) == 1


@pytest.mark.parametrize(
    "raw", [b"\xff", b"[]", b"{}", b'{"owner":1,"request":2,"since":[],"records":0}', b"1" * 99]
)
def test_what_another_program_wrote_is_unreadable(redis_stores: RedisStores, raw: bytes) -> None:
    redis_stores.client.set(f"{redis_stores.settings.prefix}:request:k", raw)
    with pytest.raises(Unreadable, match="request:k"):
        redis_stores.claims(60).put("k", CLAIM, None)
