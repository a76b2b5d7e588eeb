"""Whoever keeps the certificate of a withdrawn identity tries to come back: with an earlier one, or as the machine that replaced it.

The owner renews, revokes, enrols anew, replaces the orchestrator and removes members in random order. After every change the list
of withdrawn certificates and the access rules are what the roster says; a real Mosquitto is asked who gets in and what they may do.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hushfleet.link.tls import client_context
from hushfleet.owner import certificates
from hushfleet.wire import Kind, Topic, build
from provisioning.contents import VaultContents
from tests.end_to_end.test_provisioned_broker import NOT_AUTHORIZED, Broker, session
from tests.support.enrolling import MEMBERS, applicant, found, new_vault
from tests.support.identities import Card, ChangingFleet
from tests.support.waiting import eventually

SEEDS = range(int(os.environ.get("SOAK_SEEDS", "0")) or 2)
STEPS = 8
ASKED = int(os.environ.get("SOAK_SEEDS", "0")) or 1


@pytest.mark.parametrize("seed", SEEDS)
def test_the_lists_say_what_the_roster_says_after_every_change(seed: int, tmp_path: Path) -> None:
    fleet = ChangingFleet.begin(tmp_path / "vault", seed)
    with fleet.founded.vault:
        for _ in range(STEPS):
            typed = fleet.step()

            assert fleet.withdrawn() == {one.serial for one in fleet.cards if not one.valid}, typed
            roles = {name: (name == fleet.orchestrator, name in fleet.committee) for name in fleet.enrolled}
            assert fleet.allowed() == roles, typed


@pytest.mark.parametrize("seed", range(100, 100 + ASKED))
def test_a_real_broker_obeys(seed: int, tmp_path: Path) -> None:
    fleet = ChangingFleet.begin(tmp_path / "vault", seed)
    with fleet.founded.vault:
        broker = Broker(fleet.founded, tmp_path / "broker").start()
        try:
            for _ in range(2):
                typed = [fleet.step() for _ in range(STEPS // 2)]
                broker.write()
                broker.restart()
                for card in fleet.cards:
                    assert let_in(broker, card, tmp_path, fleet) == card.valid, (card.name, card.valid, typed)
        finally:
            broker.stop()


def let_in(broker: Broker, card: Card, folder: Path, fleet: ChangingFleet | None = None) -> bool:
    """True if this certificate gets in; with `fleet` also what it may say is compared with its role."""
    with suppress(ssl.SSLError, ConnectionError), session(broker.port, context_of(card, broker, folder), card.name) as one:
        eventually(lambda: not (one.connected.empty() and one.gone.empty()))
        if one.connected.empty():
            return False
        if fleet is None:
            return True
        name = fleet.founded.vault.registry.fleet
        orchestrator = card.name == fleet.orchestrator
        # The orchestrator clears what others left behind: it may publish on every topic of the fleet.
        wanted = {
            build(Topic(name, Kind.PLAN)): orchestrator,
            build(Topic(name, Kind.STATUS, device=card.name)): True,
            build(Topic(name, Kind.PARTIAL, device=card.name, number=1, chunk=0)): orchestrator or card.name in fleet.committee,
            build(Topic(name, Kind.STATUS, device="nobody")): orchestrator,
        }
        assert {topic: one.publish(topic, b"x") != NOT_AUTHORIZED for topic in wanted} == wanted, card.name
        return True
    return False


def context_of(card: Card, broker: Broker, folder: Path) -> ssl.SSLContext:
    ca = broker.fleet.vault.registry.ca_certificate.encode()
    for name, data in (("c.pem", card.certificate), ("c.key", card.key), ("ca.pem", ca)):
        (folder / name).write_bytes(data)
    return client_context(folder / "ca.pem", folder / "c.pem", folder / "c.key")


class TestEarlierCertificate:
    """The one before the last renewal."""

    @pytest.fixture
    def thief(self, tmp_path: Path) -> Iterator[tuple[Broker, Card]]:
        with new_vault(tmp_path / "vault", now=certificates.now()) as vault:
            founded = found(vault, others=["pi-05", "pi-06"])
            person = founded.people["pi-05"]
            card = Card("pi-05", vault.registry.find("pi-05").certificate.encode(), person.tls_key, orchestrator=False)
            founded.join(person)  # renewed: the earlier certificate is still good
            broker = Broker(founded, tmp_path / "broker").start()
            try:
                yield broker, card
            finally:
                broker.stop()

    def test_it_is_shut_out_with_its_identity(self, thief: tuple[Broker, Card], tmp_path: Path) -> None:
        broker, card = thief

        broker.fleet.vault.revoke("pi-05")

        assert self._comes_back(broker, card, tmp_path) is False

    def test_it_is_shut_out_when_its_id_gets_new_keys(self, thief: tuple[Broker, Card], tmp_path: Path) -> None:
        broker, card = thief

        broker.fleet.join(applicant("pi-05", generation=2))

        assert self._comes_back(broker, card, tmp_path) is False

    def test_control_if_only_the_last_one_is_withdrawn_it_comes_back(
        self, thief: tuple[Broker, Card], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broker, card = thief
        withdrawing = VaultContents.withdrawing

        def only_the_last(registry: VaultContents, *given: object) -> VaultContents:
            after = withdrawing(registry, *given)
            return type(after)(**{name: getattr(after, name) for name in after.__struct_fields__} | {"withdrawn": after.withdrawn[-1:]})

        monkeypatch.setattr(VaultContents, "withdrawing", only_the_last)
        broker.fleet.vault.revoke("pi-05")

        assert self._comes_back(broker, card, tmp_path) is True

    def _comes_back(self, broker: Broker, card: Card, folder: Path) -> bool:
        broker.write()
        broker.restart()
        return let_in(broker, card, folder)


def test_certificates_are_kept_until_they_expire(tmp_path: Path) -> None:
    with new_vault(tmp_path / "vault") as vault:
        found(vault)
        now = vault._now()
        assert len(vault.registry.issued) == len(MEMBERS) + 1

        later = vault.registry.withdrawing("nobody", now.replace(year=now.year + 2))

        assert later.issued == ()
