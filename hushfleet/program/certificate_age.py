"""The age of a certificate in words: how long it lasts, and when somebody has to act."""

import time
from datetime import UTC, datetime

from hushfleet.typed import typed

SOON_DAYS = 30
"""A certificate is renewed this many days before it ends, or earlier."""
_DAY_S = 86_400


def days_left(day: int, now_s: float | None = None) -> int:
    """The whole days until `day` (counted from 1970-01-01, UTC); negative once it is past."""
    return day - today(now_s)


def today(now_s: float | None = None) -> int:
    """The present day, counted from 1970-01-01 in UTC."""
    return int((time.time() if now_s is None else now_s) // _DAY_S)


def certificate_text(day: int, now_s: float | None = None) -> str:
    """The end of a certificate for a person: `until 2027-11-27, 365 days left`, or that it is expired. `day` 0: none is known."""
    if day == 0:
        return "none"
    date, left = f"{datetime.fromtimestamp(day * _DAY_S, UTC):%Y-%m-%d}", days_left(day, now_s)
    if left < 0:
        return f"EXPIRED since {date}"
    return f"until {date}, {left} days left" + (": renew it" if left <= SOON_DAYS else "")


def renewal_warning(device_id: str, day: int, now_s: float | None = None) -> str:
    """The warning for a certificate that ends soon or has ended, with the way to another; empty while it lasts."""
    if day == 0 or days_left(day, now_s) > SOON_DAYS:
        return ""
    renew = typed("provision", "approve", f"{device_id}.request")
    text = f"The certificate of {device_id}: {certificate_text(day, now_s)}."
    return f"{text} The owner takes the same request again ({renew}); join with the bundle that comes back."
