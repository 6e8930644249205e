"""Whether an address is this machine's own."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address, also one of IPv4 as IPv6 writes it."""
    try:
        read = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(read, "ipv4_mapped", None) or read).is_loopback
