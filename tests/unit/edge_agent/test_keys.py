import pickle

import pytest

from edge_agent.keys import DeviceKeys
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.randomness import SeededRandomness, SystemRandomness
from tests.support.refusals import refused

KEYS = DeviceKeys.generate("pi-01", SeededRandomness(b"keys"))


def test_keys_are_found_again_as_they_were_saved(tmp_path):
    KEYS.save(tmp_path)

    assert DeviceKeys.load(tmp_path) == KEYS


def test_only_this_user_can_read_them(tmp_path):
    KEYS.save(tmp_path)

    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600]


def test_the_public_half_is_a_roster_entry():
    entry = KEYS.entry

    assert (entry.device_id, entry.verify_key, entry.sealing_key) == ("pi-01", KEYS.signing.verify_key.raw, KEYS.sealing.public.raw)


def test_keys_are_fresh():
    one, two = (DeviceKeys.generate("pi-01", SystemRandomness()) for _ in range(2))

    assert one != two
    assert one.signing.seed() != one.sealing.seed()


def test_nothing_shows_the_secrets():
    for secret in (KEYS.signing.seed(), KEYS.sealing.seed()):
        for text in (repr(KEYS), str(KEYS)):
            assert secret.hex() not in text
            assert repr(secret)[2:-1] not in text


def test_keys_do_not_leave_by_pickle():
    with pytest.raises(TypeError, match="does not leave the process"):
        pickle.dumps(KEYS)


def test_an_empty_folder_holds_no_keys(tmp_path):
    with refused(Refusal.NOT_ENROLLED, LocalError):
        DeviceKeys.load(tmp_path)


@pytest.mark.parametrize("length", [0, 1, 64])
def test_a_file_that_is_too_short_holds_no_keys(tmp_path, length):
    KEYS.save(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:length])

    with refused(Refusal.NOT_ENROLLED, LocalError):
        DeviceKeys.load(tmp_path)


@pytest.mark.parametrize("name", ["", "Pi-01", "-pi", "pi/01", "p" * 64])
def test_a_name_that_is_no_id_gets_no_keys(name):
    with refused(Refusal.ID_MALFORMED, PeerError):
        DeviceKeys.generate(name, SeededRandomness(b""))


def test_a_file_with_a_name_that_is_no_id_is_refused(tmp_path):
    KEYS.save(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes() + b"/..")

    with refused(Refusal.ID_MALFORMED, PeerError):
        DeviceKeys.load(tmp_path)
