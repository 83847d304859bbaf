"""The receiver behaves as it is told, so that what is tested against it is tested."""

import http.client
import json

import httpx
import pytest

from tests import receiver as vocabulary
from tests.receiver import Receiver, answer, fail, in_a_thread, trusting


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_it_keeps_what_came_and_answers_in_the_order_told() -> None:
    async with Receiver() as receiver, httpx.AsyncClient() as client:
        receiver.on("/hook", *fail(2), answer(201, {"X-Id": "7"}, {"ok": True}))
        answers = [await client.post(receiver.url("/hook"), json={"n": n}) for n in range(4)]
        assert [each.status_code for each in answers] == [503, 503, 201, 201]
        assert answers[2].json() == {"ok": True}
        assert [request.json() for request in await receiver.wait_for(4)] == [{"n": n} for n in range(4)]
        assert receiver.requests[0].headers["content-type"] == "application/json"
        assert receiver.connections == 1


async def test_it_comes_back_on_the_same_port() -> None:
    receiver = Receiver()
    async with receiver, httpx.AsyncClient() as client:
        await client.get(receiver.url())
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(receiver.url())
        async with receiver:
            assert (await client.get(receiver.url())).status_code == 200


def test_it_serves_tls_from_a_thread() -> None:
    with in_a_thread(Receiver(tls=True)) as receiver:
        connection = http.client.HTTPSConnection("localhost", receiver.port, context=trusting())
        connection.request("POST", "/a", json.dumps([1]))
        assert connection.getresponse().status == 200
        connection.close()
        assert receiver.wait(1)[0].json() == [1]


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (vocabulary.reset, httpx.ReadError),
        (vocabulary.close_early, httpx.RemoteProtocolError),
        (vocabulary.close_silently, httpx.RemoteProtocolError),
        (vocabulary.garbage, httpx.RemoteProtocolError),
        (vocabulary.huge_header(), httpx.RemoteProtocolError),
        (vocabulary.hang, httpx.ReadTimeout),
        (vocabulary.drip(every=0.01), None),
        (vocabulary.endless, None),
        (vocabulary.ten_gigabytes, None),
    ],
)
async def test_each_fault_is_seen_by_a_client(behaviour: vocabulary.Behaviour, error: type[Exception] | None) -> None:
    async with Receiver() as receiver, httpx.AsyncClient(timeout=0.2) as client:
        receiver.on("/", behaviour)
        if error is not None:
            with pytest.raises(error):
                await client.get(receiver.url())
            return
        async with client.stream("GET", receiver.url()) as response:
            async for _ in response.aiter_raw():
                return
