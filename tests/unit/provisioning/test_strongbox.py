import pickle

import pytest

from hushfleet.codec import decode, encode
from hushfleet.errors import LocalError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.signing import SigningKey
from provisioning import strongbox
from provisioning.passphrase import Passphrase
from provisioning.strongbox import PassphraseCost, VaultSecrets, lock, unlock
from tests.support.enrolling import CHEAP, PASSPHRASE
from tests.support.refusals import refused

RANDOM = SeededRandomness(b"strongbox")
SEED, CA_KEY = RANDOM.octets(32), RANDOM.octets(138)
SECRETS = VaultSecrets(SigningKey(SEED), CA_KEY)
LOCKED = lock(SECRETS, PASSPHRASE, RANDOM, CHEAP)


def altered(**changes: object) -> bytes:
    parts = decode(strongbox._Locked, LOCKED, max_bytes=4096)
    fields = {name: getattr(parts, name) for name in parts.__struct_fields__}
    return encode(strongbox._Locked(**{**fields, **changes}))


def test_the_passphrase_opens_it():
    opened = unlock(LOCKED, PASSPHRASE)
    assert (opened.root, opened.ca_key) == (SECRETS.root, CA_KEY)


@pytest.mark.parametrize("other", ["correct horse batterz", "correct horse battery ", "another one"])
def test_another_passphrase_does_not(other):
    with refused(Refusal.VAULT_PASSPHRASE, LocalError):
        unlock(LOCKED, Passphrase(other))


def test_nothing_secret_stands_in_it():
    for secret in (SEED, CA_KEY, PASSPHRASE.raw):
        assert secret not in LOCKED


def test_two_locks_of_one_secret_have_nothing_in_common():
    again = lock(SECRETS, PASSPHRASE, RANDOM, CHEAP)
    first, second = (decode(strongbox._Locked, data, max_bytes=4096) for data in (LOCKED, again))
    assert first.salt != second.salt
    assert first.box[:24] != second.box[:24]


def test_the_usual_cost_is_libsodiums_moderate_one():
    assert PassphraseCost() == PassphraseCost(3, 256 << 20)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        LOCKED[:-1],
        LOCKED + b"\0",
        altered(memory_bytes=1 << 40),
        altered(memory_bytes=0),
        altered(operations=0),
        altered(operations=10**9),
        altered(salt=b"short"),
    ],
    ids=["empty", "cut", "longer", "all memory", "no memory", "no work", "forever", "salt"],
)
def test_what_cannot_be_a_strongbox_is_refused_before_any_work(data):
    with refused(Refusal.VAULT_DAMAGED, LocalError):
        unlock(data, PASSPHRASE)


@pytest.mark.parametrize(
    "changes", [{"salt": bytes(16)}, {"operations": 2}, {"memory_bytes": 16384}, {"box": bytes(60)}, {"box": b""}], ids=repr
)
def test_a_changed_part_opens_nothing(changes):
    with refused(Refusal.VAULT_PASSPHRASE, LocalError):
        unlock(altered(**changes), PASSPHRASE)


@pytest.mark.parametrize("holder", [SECRETS, PASSPHRASE, strongbox._Plain(SEED, CA_KEY)], ids=lambda holder: type(holder).__name__)
def test_holders_of_secrets_show_nothing(holder):
    for secret in (SEED, CA_KEY, PASSPHRASE.raw):
        assert secret.hex() not in repr(holder)
        assert repr(secret)[2:-1] not in repr(holder)


@pytest.mark.parametrize("holder", [SECRETS, PASSPHRASE], ids=lambda holder: type(holder).__name__)
def test_they_do_not_leave_by_accident(holder):
    with pytest.raises(TypeError, match="not leave"):
        pickle.dumps(holder)
