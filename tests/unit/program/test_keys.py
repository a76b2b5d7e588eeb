import pickle

import pytest

from edge_agent.folder import DeviceKeys
from hushfleet.documents import EnrolledRole, open_enrolment_request
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.randomness import SeededRandomness, SystemRandomness
from hushfleet.wire import decode_signed
from orchestrator.folder import OrchestratorKeys
from tests.support.refusals import refused

ROLES = {DeviceKeys: EnrolledRole.DEVICE, OrchestratorKeys: EnrolledRole.ORCHESTRATOR}

PROGRAMS = {DeviceKeys: "agent", OrchestratorKeys: "orchestrator"}


@pytest.fixture(params=ROLES, ids=ROLES.values())
def kind(request):
    return request.param


@pytest.fixture
def keys(kind):
    return kind.generate("pi-01", SeededRandomness(b"keys"))


def test_keys_are_found_again_as_they_were_saved(tmp_path, keys):
    keys.save(tmp_path)

    assert type(keys).load(tmp_path) == keys


def test_only_this_user_can_read_them(tmp_path, keys):
    keys.save(tmp_path)

    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600]


def test_the_public_half_of_a_device_is_a_roster_entry():
    own = DeviceKeys.generate("pi-01", SeededRandomness(b"keys"))
    entry = own.entry

    assert (entry.device_id, entry.verify_key, entry.sealing_key) == ("pi-01", own.signing.verify_key.raw, own.sealing.public.raw)


def test_a_request_asks_for_the_role_of_the_keys_and_proves_their_possession(keys, kind):
    request = open_enrolment_request(decode_signed(keys.request(b"csr")))

    assert (request.role, request.device_id, request.certificate_request) == (ROLES[kind], "pi-01", b"csr")
    assert (request.verify_key, request.sealing_key) == (keys.signing.verify_key.raw, keys.sealing.public.raw)


def test_keys_are_fresh(kind):
    one, two = (kind.generate("pi-01", SystemRandomness()) for _ in range(2))

    assert one != two
    assert one.signing.seed() != one.sealing.seed()


def test_nothing_shows_the_secrets(keys):
    for secret in (keys.signing.seed(), keys.sealing.seed()):
        for text in (repr(keys), str(keys)):
            assert secret.hex() not in text
            assert repr(secret)[2:-1] not in text


def test_keys_do_not_leave_by_pickle(keys):
    with pytest.raises(TypeError, match="does not leave the process"):
        pickle.dumps(keys)


def test_an_empty_folder_holds_no_keys(tmp_path, kind):
    with pytest.raises(LocalError) as caught:
        kind.load(tmp_path)
    assert caught.value.next_step == f"Run: hushfleet {PROGRAMS[kind]} enrol"
    with refused(Refusal.NOT_ENROLLED, LocalError):
        raise caught.value


@pytest.mark.parametrize("length", [0, 1, 64])
def test_a_file_that_is_too_short_holds_no_keys(tmp_path, keys, length):
    keys.save(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:length])

    with refused(Refusal.NOT_ENROLLED, LocalError):
        type(keys).load(tmp_path)


@pytest.mark.parametrize("name", ["", "Pi-01", "-pi", "pi/01", "p" * 64])
def test_a_name_that_is_no_id_gets_no_keys(kind, name):
    with refused(Refusal.ID_MALFORMED, PeerError):
        kind.generate(name, SeededRandomness(b""))


@pytest.mark.parametrize("end", [b"/..", b"\xff"])
def test_a_file_with_a_name_that_is_no_id_is_refused(tmp_path, keys, end):
    keys.save(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes() + end)

    with refused(Refusal.ID_MALFORMED, PeerError):
        type(keys).load(tmp_path)
