"""The addresses of this machine: which ones phones can reach, and whether a request comes from here."""

import socket
from functools import lru_cache
from ipaddress import ip_address
from time import monotonic

from study.base.addresses import OwnAddress, list_own_addresses, read_address

KEPT_SECONDS = 5
"""Interfaces come and go with the Wi-Fi; reading them takes a millisecond."""


def list_lan_addresses() -> list[OwnAddress]:
    """The IPv4 addresses that other devices may reach, the one that this machine prefers first."""
    preferred = _find_preferred()
    found = [each for each in list_own_addresses() if _is_of_use(each.address)]
    return sorted(found, key=lambda each: (each.address != preferred, each.interface, each.address))


def is_own_address(address: str) -> bool:
    """Whether a client's address is one of this machine's own."""
    asked = read_address(address)
    return asked is not None and (
        asked.is_loopback or str(asked) in _list_own(int(monotonic() / KEPT_SECONDS))
    )


@lru_cache(maxsize=2)
def _list_own(_period: int) -> frozenset[str]:
    return frozenset(each.address for each in list_own_addresses())


def _is_of_use(address: str) -> bool:
    read = ip_address(address)
    return read.version == 4 and not (read.is_loopback or read.is_link_local or read.is_unspecified)


def _find_preferred() -> str:
    """Find the address from which this machine would send to a private network; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("10.255.255.255", 9))
        except OSError:
            return ""
        return str(asked.getsockname()[0])
