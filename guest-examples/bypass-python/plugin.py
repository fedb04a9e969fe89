"""A bypass that recognises targets by their domain."""

import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import bypass, lifecycle
from wit_world.imports.types import PluginError_Failed, PluginError_InvalidRequest

# Names in lower case; of those in `below` all that end with them, after a dot. Read once in `init`: an instance may be thrown away
# at any time, so nothing that changes belongs here.
names: set[str] = set()
below: set[str] = set()


class Lifecycle(exports.Lifecycle):
    def init(self, request: lifecycle.InitRequest) -> None:
        if names or below:
            raise Err(PluginError_Failed("init was called twice"))
        text = ""
        for key, value in request.config:
            # A key that nobody reads is more likely a typing error than a wish, so it is refused.
            if key != "domains":
                refuse(f"unknown config key `{key}`; this plugin reads `domains`")
            text = value
        parse(text)


class Bypass(exports.Bypass):
    def contains(self, request: bypass.BypassRequest) -> bypass.Match:
        if not (names or below):
            raise Err(PluginError_Failed("init was not called"))
        # At hop and node level the target is an address already; `host` is the name that the client asked for.
        found = listed(request.target_address) or (request.host is not None and listed(request.host))
        return bypass.Match.MATCHED if found else bypass.Match.UNMATCHED


def refuse(why: str) -> None:
    raise Err(PluginError_InvalidRequest(why))


def parse(text: str) -> None:
    """Reads entries between spaces or commas: `example.org` is that name alone, `*.example.org` every name below it,
    `.example.org` both."""
    for entry in filter(None, re.split(r"[,\s]+", text)):
        star = entry.startswith("*.")
        name = entry[2:] if star else entry.removeprefix(".")
        # `com*` or `a.*.b` would otherwise match nothing in silence.
        if not name or re.search(r"[*:/]", name):
            refuse(f"`{entry}` is none of example.org, .example.org and *.example.org")
        if star or entry.startswith("."):
            below.add(host(name))
        if not star:
            names.add(host(name))
    if not (names or below):
        refuse('`domains` is missing or empty: write `domains: "example.org .example.net"` under the plugin\'s `config`')


def listed(address: str) -> bool:
    """Whether the host of the address, with or without a port, is in the list."""
    name = host(address)
    if name in names:
        return True
    while "." in name:
        name = name.partition(".")[2]
        if name in below:
            return True
    return False


def host(address: str) -> str:
    """A host name as it is compared: without port and trailing dot, in lower case."""
    ip, bracket, _ = address.removeprefix("[").partition("]")
    if address.startswith("[") and bracket:
        address = ip
    elif address.count(":") == 1:  # More than one colon is an IPv6 address without brackets.
        address = address.partition(":")[0]
    return address.removesuffix(".").lower()
