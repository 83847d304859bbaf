"""Addresses of webhooks: whatever is taken cannot be inside, and everybody reads it in the same way."""

import socket
from contextlib import suppress
from ipaddress import IPv4Address, ip_address, ip_network
from itertools import chain
from urllib.parse import urlsplit

import httpx
from yarl import URL

from socbot.egress.errors import Blocked
from socbot.egress.policy import HOSTS, PORTS, Address, Policy, Target, classify

PIECES = (
    "https://", "http://", "HTTPS://", "//", "/", "\\", "@", ":", ".", "#", "?", "%", "%2e", "[", "]", "::1", "::",
    "::ffff:", "64:ff9b::", "fe80::1%25eth0", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
    "10.0.0.1",
    "192.168.1.1", "169.254.169.254", "8.8.8.8", "2606:4700::1111", "①②⑦", "。", "\uff0e", "\uff11", "localhost",
    "example.org", "discord.com", "hooks.slack.com", "bücher.example", "xn--", "xn--bcher-kva", "ß", "\u200d", "\u00ad",
    "443", "8443", "22", "0", "65536", "a", "-", "_", " ", "\t", "\n", "\x00", "\u2028", "\u202e", "\udc80",
    "user:pass@",
)  # fmt: skip
FRAMES = ("https://…/x", "https://[…]:8443/", "https://…", "https://…….example.org/…", "…://…")
INNER = ip_network("10.0.0.0/8")
PLAIN, OPENED = Policy(), Policy([str(INNER)])
TYPES = ("", "discord", "slack", "custom")


def fuzz(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for type in TYPES:
        try:
            target = PLAIN.check_url(text, type)
        except Blocked as refusal:
            check_refusal(str(refusal), text)
            continue
        check_public(target)
        check_one_reading(target)
        assert PLAIN.check_url(target.url, type) == target
        assert target.host in HOSTS.get(type, (target.host,))
    try:
        target = OPENED.check_url(text)
    except Blocked:
        return
    check_one_reading(target)
    for address in every_address(target.host):
        assert address in INNER or classify(address)[0] == "public"


def check_public(target: Target) -> None:
    assert target.scheme == "https"
    assert target.origin.port in PORTS
    assert "." in target.host or ":" in target.host
    for address in every_address(target.host):
        assert classify(address)[0] == "public", address
        assert address.is_global, address


def every_address(host: str) -> list[Address]:
    """What ``host`` is as an address, to the strictest reader and to the laxest, where it is one."""
    found: list[Address] = []
    with suppress(ValueError):
        found.append(ip_address(host))
    with suppress(OSError):
        found.append(IPv4Address(socket.inet_aton(host)))  # takes 127.1, 0x7f000001, 2130706433 and more
    return found


def check_one_reading(target: Target) -> None:
    """Three other readers find the same host, port and scheme in it."""
    url = target.url
    assert url.isascii()
    assert not any(character.isspace() or not character.isprintable() for character in url)
    here = (target.scheme, target.host, target.origin.port)
    split = urlsplit(url)
    assert (split.scheme, split.hostname, split.port or {"https": 443, "http": 80}[split.scheme]) == here
    assert (split.username, split.password, split.fragment) == (None, None, "")
    by_yarl, by_httpx = URL(url, encoded=True), httpx.URL(url)
    assert (by_yarl.scheme, by_yarl.raw_host, by_yarl.port) == here
    assert by_httpx.scheme == target.scheme
    assert by_httpx.raw_host.decode() == target.host
    assert by_httpx.netloc.decode() == target.netloc


def check_refusal(told: str, text: str) -> None:
    """A refusal tells nothing of the path, where the secret is."""
    assert len(told) < 600
    assert told.isprintable()
    secret = text.partition("://")[2].partition("/")[2]
    for known in chain.from_iterable(HOSTS.values()):
        told = told.replace(known, "")  # which a refusal names by itself
    assert len(secret) < 12 or secret not in told
