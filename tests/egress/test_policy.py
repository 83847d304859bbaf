"""What may be reached, as it is written and by its address."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.config import load
from socbot.documents import ConfigError
from socbot.egress import Blocked, Policy
from socbot.egress.policy import classify

BADLY_WRITTEN = """
    file:///etc/passwd
    gopher://127.0.0.1:25/_HELO
    ftp://example.org/x
    ws://example.org/x
    unix:///run/docker.sock
    javascript:alert(1)
    //example.org/x
    example.org/x
    https:example.org
    https:/example.org
    https:///x
    https://
    https://user@example.org/
    https://user:pass@example.org/
    https://discord.com@127.0.0.1/
    https://127.0.0.1#@discord.com/
    https://discord.com\\@127.0.0.1/
    https://127.0.0.1\\.discord.com/
    https://discord.com/#fragment
    https://discord.com/a b
    https://discord.com/%zz
    https://discord.com/\u00e9
    https://example.org.
    https://example.org../
    https://.example.org/
    https://exa..mple.org/
    https://-example.org/
    https://example.org:0/
    https://example.org:65536/
    https://example.org:port/
    https://example.org:443:443/
    https://example.org:/
    https://2130706433/
    https://0x7f000001/
    https://0x7f.1/
    https://017700000001/
    https://0177.0.0.1/
    https://127.0.0.01/
    https://127.1/
    https://127.0.1/
    https://0/
    https://127.0.0.1./
    https://127.0.0.256/
    https://127.0.0.1.0/
    https://1.0x10/
    https://\u2460\u2461\u2466.0.0.1.
    https://[::1/
    https://::1/
    https://[fe80::1%25eth0]/
    https://[fe80::1%eth0]/
    https://[::1%lo]/
    https://[v1.x]/
    https://[127.0.0.1]/
    https://%31%32%37.0.0.1/
    https://exam%00ple.org/
    https://exa\tmple.org/
    https://\u202eexample.org/
    https://ex\u00ad\u2028ample.org/
""".strip().split("\n")

INWARD = """
    https://127.0.0.1/
    https://127.255.255.254/
    https://0.0.0.0/
    https://10.0.0.1/
    https://172.16.0.1/
    https://172.31.255.255/
    https://192.168.1.1/
    https://100.64.0.1/
    https://100.100.100.200/
    https://169.254.169.254/latest/meta-data/
    https://168.63.129.16/
    https://192.0.0.192/
    https://192.0.2.1/
    https://192.88.99.3/
    https://198.18.0.1/
    https://198.51.100.1/
    https://203.0.113.1/
    https://224.0.0.1/
    https://255.255.255.255/
    https://\u2460\u2461\u2466.0.0.1/
    https://\uff11\uff12\uff17.0.0.1/
    https://127\u30020\u30020\u30021/
    https://[::]/
    https://[::1]/
    https://[0:0:0:0:0:0:0:1]/
    https://[::ffff:127.0.0.1]/
    https://[::ffff:7f00:1]/
    https://[::127.0.0.1]/
    https://[64:ff9b::7f00:1]/
    https://[64:ff9b:1::1]/
    https://[2002:7f00:1::]/
    https://[2001::1]/
    https://[2001:db8::1]/
    https://[3fff::1]/
    https://[5f00::1]/
    https://[fc00::1]/
    https://[fd00:ec2::254]/
    https://[fe80::1]/
    https://[fec0::1]/
    https://[ff02::1]/
    https://localhost/
    https://LOCALHOST/
    https://metadata/
""".strip().split("\n")

OUTSIDE = """
    http://example.org/
    HTTP://example.org/
    http://example.org:443/
    https://example.org:22/
    https://example.org:25/
    https://example.org:80/
    https://example.org:6379/
    https://example.org:8080/
    https://example.org:9200/
""".strip().split("\n")


@pytest.mark.promise("P12")
@pytest.mark.parametrize("url", [line.lstrip(" ") for line in (*BADLY_WRITTEN, *INWARD, *OUTSIDE)])
def test_an_address_that_leads_inside_or_can_be_misread_is_refused(url: str) -> None:
    with pytest.raises(Blocked) as refusal:
        Policy().check_url(url)
    assert "passwd" not in str(refusal.value)
    assert "meta-data" not in str(refusal.value)


def test_there_are_as_many_of_them_as_promised() -> None:
    assert len({*BADLY_WRITTEN, *INWARD, *OUTSIDE}) >= 80


@pytest.mark.parametrize(
    ("url", "known_as"),
    [
        ("https://discord.com/api/webhooks/1/x?wait=true", "https://discord.com/api/webhooks/1/x?wait=true"),
        ("HTTPS://Discord.COM/x", "https://discord.com/x"),
        ("https://example.org", "https://example.org/"),
        ("https://example.org?x=1", "https://example.org/?x=1"),
        ("https://example.org:8443/x", "https://example.org:8443/x"),
        ("https://example.org:443/x", "https://example.org/x"),
        ("https://8.8.8.8/x", "https://8.8.8.8/x"),
        ("https://[2606:4700:0::1111]/x", "https://[2606:4700::1111]/x"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example/x"),
        ("https://my_host.example.org/%41", "https://my_host.example.org/%41"),
    ],
)
def test_an_address_in_the_public_internet_is_taken_in_its_one_form(url: str, known_as: str) -> None:
    assert Policy().check_url(url).url == known_as


def test_a_length_without_end_is_refused() -> None:
    Policy().check_url("https://example.org/" + "x" * 2_000)
    with pytest.raises(Blocked, match="longer"):
        Policy().check_url("https://example.org/" + "x" * 3_000)
    with pytest.raises(Blocked):
        Policy().check_url(f"https://{'a' * 64}.org/")
    with pytest.raises(Blocked):
        Policy().check_url("https://" + "a.b." * 70 + "org/")


@pytest.mark.parametrize(
    ("type", "good", "bad"),
    [
        ("discord", "https://ptb.discord.com/api/webhooks/1/x", "https://discord.com.evil.example/api/webhooks/1/x"),
        ("discord", "https://discordapp.com/api/webhooks/1/x", "https://evildiscord.com/api/webhooks/1/x"),
        ("slack", "https://hooks.slack.com/services/T/B/x", "https://hooks.slack.com.evil.example/services/T/B/x"),
        ("slack", "https://hooks.slack-gov.com/services/T/B/x", "https://slack.com/services/T/B/x"),
        ("custom", "https://evil.example/", "https://10.0.0.1/"),
    ],
)
def test_a_webhook_of_a_service_is_at_that_service(type: str, good: str, bad: str) -> None:
    assert Policy().check_url(good, type).url == good
    with pytest.raises(Blocked):
        Policy().check_url(bad, type)
    # Who runs a service that speaks Slack's language says so.
    bad_host = bad.split("/")[2]
    assert Policy([bad_host]).check_url(bad, type).url == bad


@pytest.mark.promise("P12")
@pytest.mark.parametrize(
    "text",
    [
        *(
            "169.254.169.254",
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "::",
            "0.0.0.0",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
        ),
        *("2002:7f00:1::", "::127.0.0.1", "fec0::1", "192.0.0.192", "192.88.99.3", "224.0.0.1", "ff02::1", "3fff::1"),
        *("5f00::1", "168.63.129.16", "fd00:ec2::254"),
    ],
)
def test_no_special_address_is_taken_for_public(text: str) -> None:
    assert classify(ip_address(text))[0] != "public"
    origin = Policy().check_url("https://example.org/").origin
    with pytest.raises(Blocked):
        Policy().check_address(origin, ip_address(text))


@given(st.ip_addresses())
def test_whatever_python_calls_private_is_not_public(address: IPv4Address | IPv6Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert classify(address)[0] != "public"


@pytest.mark.parametrize("text", ["1.1.1.1", "8.8.8.8", "162.159.135.232", "2606:4700::1111", "2a00:1450:4001::1"])
def test_public_addresses_are_public(text: str) -> None:
    assert classify(ip_address(text))[0] == "public"


# -- what an operator opens ---------------------------------------------------------------------------


@pytest.mark.promise("P12")
@pytest.mark.parametrize("network", ["10.1.2.0/24", "192.168.1.5/32", "fd12::/48", "169.254.10.0/28", "127.0.0.4/30"])
def test_a_network_opens_exactly_itself(network: str) -> None:
    opened = ip_network(network)
    policy = Policy([network])
    origin = policy.check_url("https://hook.example.org/").origin
    for address in (opened[0], opened[-1]):
        policy.check_address(origin, address)
    for address in (opened[0] - 1, opened[-1] + 1):
        with pytest.raises(Blocked):
            policy.check_address(origin, address)


@given(st.ip_addresses(v=4), st.integers(8, 32), st.ip_addresses(v=4))
def test_an_address_is_admitted_if_it_is_public_or_opened(base: IPv4Address, length: int, address: IPv4Address) -> None:
    network = ip_network((int(base), length), strict=False)
    policy = Policy([str(network)])
    origin = policy.check_url("https://hook.example.org/").origin
    admitted = policy.admitted(origin, []) == []
    try:
        policy.check_address(origin, address)
    except Blocked:
        admitted = False
    assert admitted == (address in network or classify(address)[0] == "public")


def test_what_only_a_network_opens_is_not_reached_elsewhere() -> None:
    policy = Policy(["10.0.0.0/8"])
    for url in ("http://hooks.lan/", "https://hooks/", "https://hook.example.org:8080/", "http://10.1.1.1:99/"):
        origin = policy.check_url(url).origin
        assert policy.admitted(origin, ["10.2.3.4", "8.8.8.8", "127.0.0.1"]) == ["10.2.3.4"]
        with pytest.raises(Blocked):
            policy.admitted(origin, ["8.8.8.8"])
    with pytest.raises(Blocked):
        policy.check_url("http://11.1.1.1/")


def test_a_host_opens_itself_and_no_more_than_private_networks() -> None:
    policy = Policy(["hooks.lan"])
    for url in ("http://hooks.lan/", "https://HOOKS.lan:8080/", "http://hooks.lan:25/"):
        origin = policy.check_url(url).origin
        found = ["10.2.3.4", "8.8.8.8", "127.0.0.1", "fd00::1", "169.254.169.254", "fd00:ec2::254", "224.0.0.1"]
        assert policy.admitted(origin, found) == ["10.2.3.4", "8.8.8.8", "127.0.0.1", "fd00::1"]
    for url in ("http://hooks.lan.evil.example/", "http://evil.hooks.lan/", "https://hooks/", "https://10.0.0.1/"):
        with pytest.raises(Blocked):
            policy.check_url(url)


def test_a_port_opens_itself_alone() -> None:
    policy = Policy(["hooks.lan:8080", "127.0.0.1:9000", "[::1]:9000"])
    for url in ("http://hooks.lan:8080/", "https://hooks.lan:8080/", "http://127.0.0.1:9000/", "http://[::1]:9000/"):
        policy.check_url(url)
    for url in ("http://hooks.lan/", "http://hooks.lan:8081/", "http://127.0.0.1:9001/", "http://127.0.0.2:9000/"):
        with pytest.raises(Blocked):
            policy.check_url(url)
    origin = policy.check_url("https://hook.example.org/").origin
    with pytest.raises(Blocked):
        policy.check_address(origin, ip_address("127.0.0.1"))


def test_a_link_local_address_is_opened_by_its_own_name() -> None:
    policy = Policy(["169.254.10.10:8080"])
    policy.check_url("http://169.254.10.10:8080/")
    with pytest.raises(Blocked):
        policy.check_url("http://169.254.169.254:8080/")


@pytest.mark.parametrize(
    "entry", ["10.0.0.1/8", "10.0.0.0/33", "https://x/", "", "a b", "user@x", "x:0", "x:99999", "*.x"]
)
def test_an_exception_that_is_none_stops_the_configuration(entry: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whatever it says
        Policy([entry])
    with pytest.raises(ConfigError, match=r"webhooks\.allow"):
        load(None, {"SOCBOT_WEBHOOKS__ALLOW": f"['{entry}']"})


@given(st.text(max_size=60) | st.from_regex(r"https?://[^/]{0,30}(/.{0,20})?", fullmatch=True))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        target = Policy().check_url(text)
    except Blocked:
        return
    # What is taken has one form, which is read as itself.
    assert target.url.isascii()
    assert Policy().check_url(target.url) == target
