"""Numbers as learners read them. MB is 10^6 bytes and GB 10^9, here and on every page."""

from datetime import timedelta

MB = 10**6
GB = 10**9
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MAX_DURATION = timedelta(minutes=10)  # anything longer is a coffee break, not a thought


def to_milliseconds(duration: timedelta) -> int:
    """Convert a duration for the store; a long absence counts as `MAX_DURATION`."""
    return int(min(max(duration, timedelta()), MAX_DURATION) / timedelta(milliseconds=1))


def as_bytes(size_bytes: float) -> str:
    """Format bytes as `412 MB`, `3.87 GB`, `48.2 kB`: three significant digits, decimal units."""
    for unit, scale in (("GB", GB), ("MB", MB), ("kB", 1000)):
        if _round_size(size_bytes) >= scale:
            return f"{as_three_digits(size_bytes / scale)} {unit}"
    return f"{size_bytes:.0f} B"


def as_mb(size_bytes: float) -> str:
    """Format bytes as `1,729 MB`: sizes that are compared, or stand beside an axis in MB."""
    return f"{size_bytes / MB:,.0f} MB"


def as_count(number: int) -> str:
    """Format a count as `2,442,240`: exact, because exactness is the point of a parameter count."""
    return f"{number:,}"


def as_short(number: float) -> str:
    """Format a number as `2.44M`, `37.7M`, `4.5`: three significant digits, for the label of a bar."""
    for unit, scale in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if _round_size(number) >= scale:
            return f"{as_three_digits(number / scale)}{unit}"
    return f"{number:.3g}"


def as_reading(number: float) -> str:
    """Format a measured number as `10.80`, and as `3.10M` from a thousand on: short enough for an axis."""
    return f"{number:.2f}" if abs(number) < 999.995 else as_short(number)


def write_minus(text: str) -> str:
    """Write the minus of a formatted number as texts have it, instead of a hyphen."""
    return text.replace("-", "−")


def as_three_digits(number: float) -> str:
    """Format as `0.907`, `2.10`, `164`, `1,234`, `1.20·10⁻⁵`: three digits, the whole part in full."""
    if 99.95 <= abs(number) < 1e15:  # a float beyond holds no more digits
        return f"{number:,.0f}"
    if 0 < abs(number) < 1e-4:
        return _write_power(number, digits=2)
    return f"{number:#.3g}" if number else "0"


def as_two_digits(number: float) -> str:
    """Format as `0.30`, `1.2`, `13`, `1,234`, `19.0M`, `1.2·10⁻⁵`: two significant digits or more."""
    if number and abs(number) < 1e-3:
        return _write_power(number, digits=1)
    if abs(number) >= 1e6:
        return as_short(number)
    return f"{number:,.0f}" if abs(number) >= 9.95 or not number else f"{number:#.2g}"


def as_percent(percent: float) -> str:
    """Format a percentage as `1.78 %`, `0.52 %`, `0.00326 %`: two decimals from 0.1 on, then three digits."""
    return f"{percent:.2f} %" if 0.1 <= abs(percent) < 1 else f"{as_three_digits(percent)} %"


def as_duration(seconds: float) -> str:
    """Format seconds as `45 s`, `12 min`, `3 h`, `8 d`, `4 mo`, `2 y`: one unit, rounded."""
    for unit, scale, limit in (("s", 1, 60), ("min", 60, 60), ("h", 3600, 24), ("d", 86_400, 60)):
        if round(seconds / scale) < limit:
            return f"{seconds / scale:.0f} {unit}"
    days = seconds / 86_400
    return f"{days / 30.44:.0f} mo" if days < 700 else f"{days / 365.25:.1f} y"


def _round_size(number: float) -> float:
    """Return what three digits show of a size: 999.9 MB is 1.00 GB."""
    return float(f"{abs(number):.3g}")


def _write_power(number: float, *, digits: int) -> str:
    """Write a tiny number with `digits` after the point and its power of ten, as texts have it."""
    figure, power = f"{number:.{digits}e}".split("e")
    return f"{figure}·10{str(int(power)).translate(_RAISED)}"
