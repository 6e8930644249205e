"""Addresses: which ones this machine has, whether only it can reach one, and how a browser opens one."""

import ipaddress
import socket
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class OwnAddress:
    """One address of this machine on one interface."""

    interface: str
    address: str
    """Without the interface that completes an address such as `fe80::1%eth0`."""


def list_own_addresses() -> list[OwnAddress]:
    """Return the addresses of IPv4 and IPv6 on every interface."""
    import psutil

    return [
        OwnAddress(interface=interface, address=entry.address.partition("%")[0])
        for interface, entries in psutil.net_if_addrs().items()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    ]


def list_reachable_addresses(*, ipv6: bool = False) -> list[str]:
    """Return this machine's IPv4 addresses in its networks, and behind them the IPv6 ones if wanted."""
    numbers = {each.address for each in list_own_addresses() if ipv6 or ":" not in each.address}
    # A browser can't open an address such as fe80::1%eth0, which is complete only with its interface.
    usable = (number for number in numbers if not is_loopback(number) and not number.startswith("fe80:"))
    return sorted(usable, key=lambda number: (":" in number, number))


def read_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address, one of IPv4 also where IPv6 wraps it; None for a name."""
    try:
        read = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(read, "ipv4_mapped", None) or read


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host."""
    read = read_address(host)
    return host == "localhost" if read is None else read.is_loopback


def build_address(host: str, port: int) -> str:
    """Return an address that works in a browser on this machine."""
    if host in ("0.0.0.0", "::", ""):
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
