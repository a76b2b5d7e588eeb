"""The end of a certificate in words, and the warning a month before."""

import pytest

from hushfleet.program.certificate_age import SOON_DAYS, certificate_text, days_left, renewal_warning

DAY_S = 86_400
TODAY = 20_000  # 2024-10-04
NOW_S = TODAY * DAY_S + 7.0


@pytest.mark.parametrize(
    ("day", "text"),
    [
        (0, "none"),
        (TODAY + 365, "until 2025-10-04, 365 days left"),
        (TODAY + SOON_DAYS + 1, "until 2024-11-04, 31 days left"),
        (TODAY + SOON_DAYS, "until 2024-11-03, 30 days left: renew it"),
        (TODAY, "until 2024-10-04, 0 days left: renew it"),
        (TODAY - 1, "EXPIRED since 2024-10-03"),
    ],
)
def test_the_days_left_are_told_and_what_is_over_is_called_so(day, text):
    assert certificate_text(day, NOW_S) == text


@pytest.mark.parametrize(("left", "warns"), [(SOON_DAYS + 1, False), (SOON_DAYS, True), (0, True), (-5, True)])
def test_a_warning_comes_a_month_before_with_the_command_that_renews(left, warns):
    warning = renewal_warning("pi-01", TODAY + left, NOW_S)
    assert bool(warning) == warns
    assert not warns or "hushfleet provision approve pi-01.request" in warning


def test_an_unknown_certificate_is_no_reason_to_warn():
    assert renewal_warning("pi-01", 0, NOW_S) == ""


def test_the_day_counts_in_full_days():
    assert days_left(TODAY + 1, NOW_S) == 1
    assert days_left(TODAY + 1, NOW_S + DAY_S) == 0
