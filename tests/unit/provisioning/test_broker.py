"""The broker's folder as text. That a real Mosquitto takes it and obeys is shown in `tests/end_to_end/test_provisioned_broker.py`."""

import stat
from pathlib import Path

import pytest

from hushfleet.errors import PeerError, Refusal
from hushfleet.owner.certificates import ends, serial_number
from hushfleet.wire import acl
from provisioning.broker import Access, BrokerPlace, access, acl_text, configuration
from tests.support.enrolling import MEMBERS, NOW, ORCHESTRATOR, applicant, reopened
from tests.support.refusals import refused

HOSTS = ["broker.lan", "127.0.0.1"]
FILES = {"acl", "ca.pem", "crl.pem", "mosquitto.conf", "server.key", "server.pem", "README.md"}


def rules_for(text: str, identity: str) -> set[tuple[str, ...]]:
    """(verb, topic) of everything that Mosquitto grants to `identity`: the patterns with its name in them, and its own section."""
    patterns, *sections = text.strip().split("\n\n")
    lines = [rule.removeprefix("pattern ").replace("%u", identity) for rule in patterns.splitlines()]
    for user, *rules in (block.splitlines() for block in sections):
        lines += [rule.removeprefix("topic ") for rule in rules if user == f"user {identity}"]
    return {tuple(line.split(" ", 1)) for line in lines}


def test_every_identity_is_granted_its_own_rules_and_no_more():
    text = acl_text("greenhouse", [Access("pi-01", member=True), Access("pi-05"), Access("hub", orchestrator=True)])
    assert rules_for(text, "pi-01") == set(acl("greenhouse", "pi-01", member=True))
    assert rules_for(text, "pi-05") == set(acl("greenhouse", "pi-05"))
    as_any_device = set(acl("greenhouse", "hub"))
    as_orchestrator = {(verb.replace("clear", "write"), topic) for verb, topic in acl("greenhouse", "hub", orchestrator=True)}
    assert rules_for(text, "hub") == as_orchestrator | as_any_device


def test_a_device_approved_later_needs_no_other_rules():
    before = acl_text("greenhouse", [Access("pi-01", member=True)])
    assert acl_text("greenhouse", [Access("pi-01", member=True), Access("pi-07")]) == before
    assert rules_for(before, "pi-07") == set(acl("greenhouse", "pi-07"))


@pytest.mark.parametrize("identity", ["+", "#", "pi-01\ntopic readwrite #", "pi 01", ""])
def test_an_identity_cannot_widen_the_rules(identity):
    with refused(Refusal.ID_MALFORMED, PeerError):
        acl_text("greenhouse", [Access(identity)])


def test_who_may_connect_follows_from_the_vault(fleet):
    expected = {*(Access(name, member=True) for name in MEMBERS), Access("pi-05"), Access(ORCHESTRATOR, orchestrator=True)}
    assert set(access(fleet.vault.registry)) == expected
    fleet.vault.revoke("pi-05")
    assert set(access(fleet.vault.registry)) == expected - {Access("pi-05")}


def test_before_the_first_roster_nobody_is_a_member(vault):
    vault.approve(applicant("pi-01").request())
    assert access(vault.registry) == (Access("pi-01"),)


def test_both_directives_against_taking_over_a_client_id_stand_in_it():
    lines = configuration("greenhouse", port=8883, path=Path("/x"), data=Path("/y")).splitlines()
    assert {"use_identity_as_username true", "use_username_as_clientid true"} <= set(lines)
    assert {"require_certificate true", "allow_anonymous false"} <= set(lines)
    assert [line for line in lines if line.startswith("listener ")] == ["listener 8883"]
    assert not any(line.startswith("user ") for line in lines)


def test_a_broker_can_listen_on_one_address():
    text = configuration("greenhouse", port=18883, path=Path("/x"), data=Path("/y"), listen="127.0.0.1")
    assert [line for line in text.splitlines() if line.startswith("listener ")] == ["listener 18883 127.0.0.1"]


class TestFolder:
    def test_only_its_owner_can_read_it(self, fleet, tmp_path):
        fleet.vault.write_broker(tmp_path / "broker", BrokerPlace(HOSTS))
        assert {path.name for path in (tmp_path / "broker").iterdir()} == {*FILES, "data"}
        for path in ((tmp_path / "broker"), *(tmp_path / "broker").iterdir()):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0

    def test_it_names_itself(self, fleet, tmp_path):
        fleet.vault.write_broker(tmp_path / "broker", BrokerPlace(HOSTS, port=18883))
        text = (tmp_path / "broker" / "mosquitto.conf").read_text()
        assert f"acl_file {tmp_path}/broker/acl\n" in text
        assert f"persistence_location {tmp_path}/broker/data/\n" in text
        assert "listener 18883\n" in text

    def test_for_a_service_it_names_where_it_will_stand(self, fleet, tmp_path):
        path, data = Path("/etc/mosquitto/hushfleet"), Path("/var/lib/mosquitto")
        fleet.vault.write_broker(tmp_path / "broker", BrokerPlace(HOSTS, path=path, data=data, user="mosquitto"))
        text = (tmp_path / "broker" / "mosquitto.conf").read_text()
        assert str(tmp_path) not in text
        assert "acl_file /etc/mosquitto/hushfleet/acl\n" in text
        assert text.endswith("user mosquitto\n")
        assert "sudo systemctl restart mosquitto" in (tmp_path / "broker" / "README.md").read_text()
        assert {path.name for path in (tmp_path / "broker").iterdir()} == FILES

    def test_writing_it_anew_keeps_a_key_that_fits(self, fleet, tmp_path):
        out = tmp_path / "broker"
        fleet.vault.write_broker(out, BrokerPlace(HOSTS))
        before = {name: (out / name).read_bytes() for name in FILES}
        fleet.vault.revoke("pi-05")
        fleet.vault.write_broker(out, BrokerPlace(HOSTS))
        changed = {name for name in FILES if (out / name).read_bytes() != before[name]}
        assert changed == {"crl.pem"}

    @pytest.mark.parametrize("hosts", [["other.lan"], ["broker.lan"]], ids=str)
    def test_other_hosts_need_another_certificate(self, fleet, tmp_path, hosts):
        out = tmp_path / "broker"
        fleet.vault.write_broker(out, BrokerPlace(HOSTS))
        before = (out / "server.key").read_bytes()
        fleet.vault.write_broker(out, BrokerPlace(hosts))
        assert (out / "server.key").read_bytes() != before

    def test_so_does_one_that_is_soon_over_or_lost_its_key(self, fleet, tmp_path):
        out = tmp_path / "broker"
        fleet.vault.write_broker(out, BrokerPlace(HOSTS))
        first = serial_number((out / "server.pem").read_bytes())
        (out / "server.key").unlink()
        fleet.vault.write_broker(out, BrokerPlace(HOSTS))
        second = serial_number((out / "server.pem").read_bytes())
        fleet.vault.close()
        with reopened(fleet.vault.folder.path, now=NOW.replace(year=NOW.year + 1, day=20)) as later:
            later.write_broker(out, BrokerPlace(HOSTS))
            third = serial_number((out / "server.pem").read_bytes())
            assert ends((out / "server.pem").read_bytes()).year == NOW.year + 3
        assert len({first, second, third}) == 3
