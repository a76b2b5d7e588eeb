"""The three sides: loading a public module loads no secret side, and none of those loads another."""

import subprocess
import sys

import pytest

import hushfleet.encryption.paillier as package

ROOM = "hushfleet.encryption.paillier"
SECRET = {f"{ROOM}.secret", f"{ROOM}.share", f"{ROOM}.dealing", f"{ROOM}.primes", "hushfleet.sharing.dealing"}


def loaded_by(module):
    program = f"import sys, importlib; importlib.import_module({module!r}); print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize("module", [ROOM, f"{ROOM}.public", f"{ROOM}.knowledge", f"{ROOM}.partials", f"{ROOM}.packing", f"{ROOM}.contexts"])
def test_public_modules_load_no_secret_side(module):
    assert loaded_by(module).isdisjoint(SECRET)


def test_a_member_loads_no_dealer():
    loaded = loaded_by(f"{ROOM}.secret")
    assert {f"{ROOM}.secret", f"{ROOM}.share"} <= loaded, "the probe sees what is loaded"
    assert loaded.isdisjoint({f"{ROOM}.dealing", f"{ROOM}.primes", "hushfleet.sharing.dealing"})


def test_the_dealer_loads_no_members_side():
    assert f"{ROOM}.secret" not in loaded_by(f"{ROOM}.dealing")


def test_every_exported_name_is_found():
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert sorted(package.__all__) == sorted(name for names in package._HOME.values() for name in names)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        package.nonsense  # noqa: B018 -- the access is the test
