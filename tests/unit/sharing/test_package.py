"""The package as a reader of the library meets it."""

import subprocess
import sys

import pytest

import hushfleet.sharing
from hushfleet.encryption import SealingKey, seal, unseal
from hushfleet.labels import Label
from hushfleet.randomness import SystemRandomness
from hushfleet.sharing import VectorShare, add, combine, deal


def test_devices_add_up_vectors_without_any_key_of_an_orchestrator():
    """The example of docs/library.md."""
    randomness = SystemRandomness()
    readings = {"pi-01": [3, -1, 4], "pi-02": [1, 5, -9], "pi-03": [2, 6, 5], "pi-04": [-3, 5, 8]}
    keys = {holder: SealingKey.generate(randomness) for holder in range(1, 5)}
    inbox = {holder: [] for holder in keys}
    for device, vector in readings.items():
        for share in deal(vector, threshold=3, members=4, randomness=randomness):
            context = f"{device} to {share.index}".encode()
            inbox[share.index].append((context, seal(keys[share.index].public, Label.SEAL_SHARE, context, share.to_bytes())))

    sums = {}
    for holder, key in keys.items():
        opened = [unseal(key, Label.SEAL_SHARE, context, sealed) for context, sealed in inbox[holder]]
        sums[holder] = add(VectorShare.from_bytes(share, index=holder, count=3) for share in opened)

    del sums[2]
    assert combine(sums, threshold=3).tolist() == [3, 15, 8]


def test_every_public_name_is_there():
    assert all(getattr(hushfleet.sharing, name) is not None for name in hushfleet.sharing.__all__)
    assert sorted(hushfleet.sharing.__all__, key=str.lower) == sorted(hushfleet.sharing._HOME, key=str.lower)


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'reconstruct'"):
        _ = hushfleet.sharing.reconstruct


@pytest.mark.parametrize(("name", "loads"), [("combine", set()), ("add", set()), ("deal", {"vectors"}), ("deal_integer", {"dealing"})])
def test_the_secret_side_is_loaded_only_when_named(name, loads):
    program = (
        f"import sys; from hushfleet.sharing import {name}; "
        "print([side for side in ('dealing', 'vectors') if 'hushfleet.sharing.' + side in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == str(sorted(loads))
