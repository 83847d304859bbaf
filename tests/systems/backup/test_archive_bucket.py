"""A bucket takes backups and gives them back: against a real server that speaks S3."""

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

from socbot.config import S3Config
from socbot.systems.backup.archive import verify
from socbot.systems.backup.targets import PART, Bucket, TargetError
from tests.systems.backup.packed import KEY, keyring, pack

ACCESS, SECRET = "AKIACANARYACCESSKEY0", "canary/secret+key"
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server of its own process, that ends with the tests."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.stdin.close()


@pytest.fixture
def config(endpoint: str, request: pytest.FixtureRequest) -> S3Config:
    """A bucket with nothing in it."""
    import httpx

    name = f"bucket-{Random(request.node.name).getrandbits(60)}"
    assert httpx.put(f"{endpoint}/{name}").status_code == 200
    return S3Config(bucket=name, prefix="bot/one", endpoint=endpoint, access_key=ACCESS, secret_key=SECRET)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_backup_goes_there_and_comes_back(tmp_path: Path, config: S3Config) -> None:
    bucket, keys = Bucket(config), keyring(KEY)
    pack(tmp_path / "backup_manual_1.tar.zst", keys=keys, seal=True)
    await bucket.put(tmp_path / "backup_manual_1.tar.zst", "backup_manual_1.tar.zst")
    [stored] = await bucket.list()
    assert stored.name == "backup_manual_1.tar.zst"
    assert stored.size == (tmp_path / "backup_manual_1.tar.zst").stat().st_size
    assert stored.modified_at > 1.7e9
    await bucket.get("backup_manual_1.tar.zst", tmp_path / "back")
    assert (tmp_path / "back").stat().st_mode & 0o777 == 0o600
    assert verify(tmp_path / "back", keys).intact
    await bucket.delete("backup_manual_1.tar.zst")
    await bucket.delete("backup_manual_1.tar.zst")
    assert await bucket.list() == ()


async def test_a_large_one_goes_in_parts(tmp_path: Path, config: S3Config) -> None:
    (tmp_path / "large").write_bytes(Random(1).randbytes(3 * PART + 17))
    await Bucket(config).put(tmp_path / "large", "large")
    await Bucket(config).get("large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "large").read_bytes()


async def test_the_list_is_of_ones_own_prefix(tmp_path: Path, config: S3Config) -> None:
    await check_list(config, 3)


@pytest.mark.slow
async def test_a_list_of_several_pages_is_whole(tmp_path: Path, config: S3Config) -> None:
    await check_list(config, 1_050)  # a page has a thousand


async def check_list(config: S3Config, count: int) -> None:
    import httpx

    async with httpx.AsyncClient(base_url=f"{config.endpoint}/{config.bucket}") as client:
        assert (await client.put("/other/backup", content=b"other's")).status_code == 200
        for number in range(count):
            await client.put(f"/bot/one/backup_{number:04}", content=b"x")
    found = await Bucket(config).list()
    assert [each.name for each in found] == [f"backup_{number:04}" for number in range(count)]


async def test_what_is_not_there_leaves_no_file(tmp_path: Path, config: S3Config) -> None:
    with pytest.raises(TargetError, match="not there"):
        await Bucket(config).get("backup_none", tmp_path / "back")
    with pytest.raises(TargetError, match="not there"):
        await Bucket(config).put(tmp_path / "none", "backup_none")
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240


async def test_a_place_that_does_not_answer_is_told_without_a_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    bucket = Bucket(S3Config("bucket", "", f"http://127.0.0.1:{port}", "us-east-1", ACCESS, SECRET))
    (tmp_path / "backup").write_bytes(b"x")
    calls: list[Any] = [
        lambda: bucket.put(tmp_path / "backup", "backup"),
        bucket.list,
        lambda: bucket.delete("backup"),
        lambda: bucket.get("backup", tmp_path / "back"),
    ]
    for call in calls:
        with pytest.raises(TargetError, match="did not answer") as caught:
            await call()
        for secret in (ACCESS, SECRET):
            assert secret not in f"{caught.value!r} {caught.value} {caught.value.__cause__} {bucket!r}"
    told = caplog.text + "".join(capfd.readouterr())
    assert ACCESS not in told
    assert SECRET not in told


async def test_who_stops_waiting_need_not_wait_for_the_network(tmp_path: Path) -> None:
    (tmp_path / "backup").write_bytes(b"x")
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections and never answers
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        bucket = Bucket(S3Config("bucket", "", endpoint, "us-east-1", ACCESS, SECRET))
        with anyio.move_on_after(0.2) as scope:
            await bucket.put(tmp_path / "backup", "backup")
        assert scope.cancelled_caught


def test_a_process_that_ends_does_not_wait_for_the_network() -> None:
    program = """
import anyio, socket
from pathlib import Path
from socbot.config import S3Config
from socbot.systems.backup.targets import Bucket
server = socket.create_server(("127.0.0.1", 0))
async def main():
    with anyio.move_on_after(0.2):
        await Bucket(S3Config("b", "", "http://127.0.0.1:%d" % server.getsockname()[1], "r", "a", "s")).list()
anyio.run(main)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=8)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(TargetError, match=r"socbot\[s3\]"):
        Bucket(S3Config(bucket="b"))
