from hushfleet.link.mqtt.filters import Filters


def carried(filters, change, number, refusal=""):
    filters.asked(number, change)
    return filters.answered(number, refusal)


def test_a_new_wish_is_fresh_until_the_broker_has_it_and_goes_again_on_every_connection():
    filters = Filters()
    change = filters.change("a/+", wanted=True)
    assert change.fresh
    assert carried(filters, change, 1) is change
    assert (change.over, change.fresh, change.refusal) == (True, False, "")
    filters.lost()
    assert filters.wishes() == [change]


def test_asking_again_is_fresh_again():
    filters = Filters()
    carried(filters, filters.change("a", wanted=True), 1)
    assert filters.change("a", wanted=True).fresh
    assert len(filters.wishes()) == 1


def test_a_dropped_filter_is_dropped_at_the_broker_too_even_after_a_loss_and_then_forgotten():
    filters = Filters()
    carried(filters, filters.change("a", wanted=True), 1)
    dropped = filters.change("a", wanted=False)
    filters.lost()
    assert filters.wishes() == [dropped]
    carried(filters, dropped, 2)
    assert filters.wishes() == []


def test_a_refused_filter_is_no_wish_any_more():
    filters = Filters()
    change = filters.change("a", wanted=True)
    assert carried(filters, change, 1, "Not authorized").refusal == "Not authorized"
    assert filters.wishes() == []


def test_a_loss_ends_the_wait_but_not_the_wish():
    filters = Filters()
    change = filters.change("a", wanted=True)
    filters.asked(1, change)
    filters.lost()
    assert change.over
    assert change.fresh
    assert filters.wishes() == [change]
    assert filters.answered(1) is None


def test_a_later_wish_replaces_an_earlier_one_whose_answer_then_changes_nothing():
    filters = Filters()
    earlier = filters.change("a", wanted=False)
    filters.asked(1, earlier)
    later = filters.change("a", wanted=True)
    assert earlier.over
    filters.answered(1)
    assert filters.wishes() == [later]
