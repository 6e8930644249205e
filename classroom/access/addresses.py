"""The addresses of this machine: which ones phones can reach, and whether a request comes from here."""

import ipaddress
import socket
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic

import psutil

KEPT_SECONDS = 5
"""Interfaces come and go with the Wi-Fi; reading them takes a millisecond."""


@dataclass(frozen=True, kw_only=True)
class LanAddress:
    """One address of this machine on one interface."""

    interface: str
    address: str


def lan_addresses() -> list[LanAddress]:
    """The IPv4 addresses that other devices may reach, the one that this machine prefers first."""
    preferred = _preferred()
    found = [
        LanAddress(interface=name, address=entry.address)
        for name, entries in psutil.net_if_addrs().items()
        for entry in entries
        if entry.family == socket.AF_INET and not _is_of_no_use(entry.address)
    ]
    return sorted(found, key=lambda each: (each.address != preferred, each.interface, each.address))


def is_own_address(address: str) -> bool:
    """Whether a client's address is one of this machine's own."""
    try:
        asked = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    plain = getattr(asked, "ipv4_mapped", None) or asked
    return plain.is_loopback or str(plain) in _own(int(monotonic() / KEPT_SECONDS))


@lru_cache(maxsize=2)
def _own(_period: int) -> frozenset[str]:
    return frozenset(
        entry.address.partition("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    )


def _is_of_no_use(address: str) -> bool:
    asked = ipaddress.ip_address(address)
    return asked.is_loopback or asked.is_link_local or asked.is_unspecified


def _preferred() -> str:
    """The address from which this machine would send to a private network; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("10.255.255.255", 9))
        except OSError:
            return ""
        return str(asked.getsockname()[0])
