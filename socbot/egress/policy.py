"""What may be reached: an address as it is written, and every address that its name leads to."""

import re
from collections.abc import Iterable
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal, TypeAlias

from msgspec import Struct

from socbot.egress.errors import Blocked, LeadsInside

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MAX_LENGTH = 2_048
PORTS = frozenset((443, 8443))
"""Where services speak HTTPS. What listens elsewhere (mail, databases, a bot's own page) was not made for strangers."""

HOSTS: dict[str, frozenset[str]] = {
    "discord": frozenset(
        f"{release}{host}" for release in ("", "ptb.", "canary.") for host in ("discord.com", "discordapp.com")
    ),
    "slack": frozenset(("hooks.slack.com", "hooks.slack-gov.com")),
}
"""The hosts of a webhook's type; those of other types are anywhere."""

_PRIVATE = {
    "127.0.0.0/8": "this host itself",
    "10.0.0.0/8": "a private network",
    "172.16.0.0/12": "a private network",
    "192.168.0.0/16": "a private network",
    "100.64.0.0/10": "a provider's inner network",
    "::1/128": "this host itself",
    "fc00::/7": "a private network",
}
"""What an allowed host name may lead to. Longer prefixes below take precedence."""

# IANA's special-purpose registries and the clouds' own addresses. `ipaddress.is_global` takes several for public.
_SPECIAL = {
    "0.0.0.0/8": "this host itself",
    "100.100.100.200/32": "a cloud's metadata",
    "168.63.129.16/32": "a cloud's inner service",
    "169.254.0.0/16": "link-local, where clouds keep their metadata",
    "192.0.0.0/24": "set apart for protocols",
    "192.0.2.0/24": "set apart for examples",
    "192.31.196.0/24": "set apart for name servers",
    "192.52.193.0/24": "set apart for multicast tunnels",
    "192.88.99.0/24": "a relay to IPv6",
    "192.175.48.0/24": "set apart for name servers",
    "198.18.0.0/15": "set apart for measuring",
    "198.51.100.0/24": "set apart for examples",
    "203.0.113.0/24": "set apart for examples",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    "::/3": "not in public use",  # ::, ::a.b.c.d, ::ffff:a.b.c.d, NAT64
    "2001::/23": "set apart for protocols",  # Teredo, ORCHID
    "2001:db8::/32": "set apart for examples",
    "2002::/16": "a relay to IPv4",
    "2620:4f:8000::/48": "set apart for name servers",
    "3fff::/20": "set apart for examples",
    "4000::/2": "not in public use",
    "8000::/1": "not in public use",  # unique local, link-local, site-local, multicast
    "fd00:ec2::/32": "a cloud's metadata",
    "fd20:ce::/32": "a cloud's metadata",
}

_OPEN_IT = "; an operator can open it by webhooks.allow"


class Origin(Struct, frozen=True):
    """Where an address leads, and why it may.

    :param opened: a host that ``allow`` names, so that it may be in a private network
    :param narrow: only because addresses in the networks of ``allow`` may be reached in every way, so none other
    """

    scheme: str
    host: str
    port: int
    opened: bool = False
    narrow: bool = False

    @property
    def netloc(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _standard(self.scheme) else f"{host}:{self.port}"

    @property
    def literal(self) -> Address | None:
        """The host, where it is an address and no name."""
        return _literal(self.host)


class Target(Struct, frozen=True):
    """An address taken apart; ``path`` with its query is a secret."""

    origin: Origin
    path: str

    @property
    def scheme(self) -> str:
        return self.origin.scheme

    @property
    def host(self) -> str:
        return self.origin.host

    @property
    def netloc(self) -> str:
        return self.origin.netloc

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"

    def __repr__(self) -> str:
        return f"Target({self.scheme}://{self.netloc})"


class Allowed(Struct, frozen=True):
    """One exception: a network, or a host; of a host, ``port`` alone, or with None all of them."""

    network: Network | None = None
    host: str = ""
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Allowed":
        """
        :raises ValueError: if it is neither a network, nor an address, nor a host, nor one of them with a port
        """
        try:
            host, port = _host_and_port(text)
            if port is None and ("/" in text or _literal(host.strip("[]"))):
                return cls(ip_network(text.strip("[]")))
            return cls(host=_host(host), port=port)
        except Blocked as problem:
            raise ValueError(str(problem)) from None


class Policy:
    """The rules, and what an operator excepts from them.

    https only, to ports 443 and 8443, by a name or an address in the public internet. ``allow`` opens a network
    (``10.0.0.0/8``), a host (``hooks.lan``), or one port of it (``hooks.lan:8080``): for plain http, for any port that
    it does not fix, for every type of webhook, and although it is private. A host's name opens no more than private
    networks: what is link-local, multicast or reserved has to be named as a network.

    :raises ValueError: if an entry of ``allow`` is none
    """

    def __init__(self, allow: Iterable[str] = ()) -> None:
        allowed = tuple(map(Allowed.parse, allow))
        self._networks = tuple(each.network for each in allowed if each.network is not None)
        self._hosts = frozenset((each.host, each.port) for each in allowed if each.network is None)

    def check_url(self, url: str, type: str = "") -> Target:
        """Take ``url`` apart, if it may be reached as far as can be told without asking for its addresses.

        :param type: of webhook, for the hosts of ``HOSTS``
        :raises Blocked: saying by which rule it may not
        """
        target = split(url)
        origin = self._admit(target.origin, _outside(target.origin, type))
        if (literal := origin.literal) is not None:
            self.check_address(origin, literal)
        return Target(origin, target.path)

    def check_address(self, origin: Origin, address: Address) -> None:
        """
        :raises Blocked: if ``origin`` must not be reached at ``address``
        """
        if any(address in network for network in self._networks):
            return
        if origin.narrow:
            raise Blocked(f"{origin.netloc} is not in a network of webhooks.allow")
        kind, what = classify(address)
        named = origin.opened and (kind == "private" or origin.literal is not None)
        if kind != "public" and not named:
            is_ = "leads to" if origin.literal is None else "is"
            raise Blocked(f"{origin.netloc} {is_} no address in the public internet ({what}){_OPEN_IT}")

    def admitted(self, origin: Origin, addresses: Iterable[str]) -> list[str]:
        """Those of ``addresses`` at which ``origin`` may be reached.

        :raises LeadsInside: if there are addresses, and none may be
        """
        good: list[str] = []
        problem: Blocked | None = None
        for text in addresses:
            try:
                self.check_address(origin, ip_address(text))
            except Blocked as error:
                problem = error
            else:
                good.append(text)
        if problem is not None and not good:
            raise LeadsInside(str(problem))
        return good

    def _admit(self, origin: Origin, outside: str) -> Origin:
        """``origin`` with what of it is an exception.

        :param outside: the rule that it is outside of, or nothing
        """
        if not self._hosts.isdisjoint(((origin.host, None), (origin.host, origin.port))):
            return _with(origin, opened=True)
        if not outside:
            return origin
        if self._networks:
            return _with(origin, narrow=True)
        raise Blocked(outside + _OPEN_IT)


def classify(address: Address) -> tuple[Literal["public", "private", "special"], str]:
    """What kind of address it is, and in words what it is for."""
    for network, kind, what in _table(address.version):
        if address in network:
            return kind, what
    return "public", "public"


def split(url: str) -> Target:
    """Take an address apart, by one strict reading: what two readers could understand differently is refused.

    :raises Blocked: if it is not written as it has to be
    """
    if len(url) > MAX_LENGTH:
        raise Blocked(f"the address is longer than {MAX_LENGTH:,} characters")
    found = _URL.fullmatch(url)
    if found is None:
        raise Blocked("the address has to look like https://host/path, without blanks and other special characters")
    scheme, authority, path = found[1].lower(), found[2], found[3]
    if "@" in authority:
        raise Blocked("the address must not hold a user name or a password")
    host, port = _host_and_port(authority)
    return Target(Origin(scheme, _host(host), port or _standard(scheme)), path if path[:1] == "/" else f"/{path}")


# What RFC 3986 lets stand in a path or query; a `#` would not be sent, and `\` is a slash to some readers.
_URL = re.compile(
    r"(https?)://([^/?#\\\s\x00-\x20\x7f]+)((?:[/?](?:[\w.~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?)", re.I | re.A
)
_PORT = re.compile(r"(.*):([0-9]{1,5})", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def _host_and_port(authority: str) -> tuple[str, int | None]:
    """
    :raises Blocked: if the port is none
    """
    found = _PORT.fullmatch(authority)
    if found is None or (":" in found[1] and not found[1].endswith("]")):
        return authority, None
    port = int(found[2])
    if not 0 < port < 65_536:
        raise Blocked("the address has a port that does not exist")
    return found[1], port


def _host(host: str) -> str:
    """``host`` as it is resolved and shown: lower-case ASCII, an address in its one form.

    :raises Blocked: if it is no host
    """
    if ":" in host or "[" in host:
        return _six(host)
    name = _ascii(host).lower()
    if name.endswith("."):
        raise Blocked("write the host without the dot at its end")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _four(name)
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise Blocked("the host is no name that a host can have")
    return name


def _four(name: str) -> str:
    try:
        return str(IPv4Address(name))
    except ValueError:
        raise Blocked("write the host's address as four decimal numbers with dots between") from None


def _six(host: str) -> str:
    try:
        address = IPv6Address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise Blocked("the host is no IPv6 address") from None
    if address.scope_id is not None:
        raise Blocked("the host must not name a network interface")
    return str(address)


def _ascii(host: str) -> str:
    """
    :raises Blocked: if a name in other letters cannot be a host's
    """
    if host.isascii():
        return host
    import idna

    try:
        return idna.encode(host, uts46=True, std3_rules=True).decode()
    except idna.IDNAError:
        raise Blocked("the host holds letters that a host's name cannot have") from None


def _literal(host: str) -> Address | None:
    if ":" in host or host[-1:].isdigit():
        try:
            return ip_address(host)
        except ValueError:
            return None
    return None


def _outside(origin: Origin, type: str) -> str:
    """The rule for addresses in the public internet that ``origin`` is outside of; nothing if it is within all."""
    hosts = HOSTS.get(type)
    if hosts is not None and origin.host not in hosts:
        return f"a {type} webhook's address is at {' or '.join(sorted(hosts, key=len)[:2])}, not at {origin.host}"
    if origin.scheme != "https":
        return f"{origin.netloc} has to be reached by https"
    if origin.port not in PORTS:
        return f"{origin.netloc} is not at port {' or '.join(map(str, sorted(PORTS)))}"
    if "." not in origin.host and ":" not in origin.host:
        return f"{origin.host} is a name of the inner network"
    return ""


def _with(origin: Origin, *, opened: bool = False, narrow: bool = False) -> Origin:
    return Origin(origin.scheme, origin.host, origin.port, opened, narrow)


def _standard(scheme: str) -> int:
    return 443 if scheme == "https" else 80


_Row: TypeAlias = tuple[Network, Literal["private", "special"], str]


@cache
def _table(version: int) -> tuple[_Row, ...]:
    """The networks that are not public, those with longer prefixes first."""
    rows: list[_Row] = [(ip_network(text), "private", what) for text, what in _PRIVATE.items()]
    rows += [(ip_network(text), "special", what) for text, what in _SPECIAL.items()]
    return tuple(sorted((row for row in rows if row[0].version == version), key=lambda row: -row[0].prefixlen))
