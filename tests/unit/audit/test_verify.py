from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pytest

from hushfleet.audit import verify_job
from hushfleet.codec import decode, encode
from hushfleet.documents import Header, OptimizerSettings, Outcome, RoundRecord, sign_header, sign_record
from hushfleet.errors import FaultyDevice, FaultyMember, FaultyOrchestrator, HushfleetError, PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.randomness import SeededRandomness, SystemRandomness
from hushfleet.rounds.cohort import cohort_of
from hushfleet.rounds.coordinator import NoRound
from hushfleet.rounds.effects import KeepOutcome
from hushfleet.rounds.events import AbortWanted
from hushfleet.rounds.plan_check import nano_rho
from hushfleet.schemes.paillier.profile import key_of
from hushfleet.signing import SigningKey
from hushfleet.training import GlobalModel
from hushfleet.wire import Answer, Body, decode_decryption_request, decode_signed, encode_signed
from hushfleet.wire.limits import LIMITS
from tests.support.fleet import Fleet, changed, make_fleet
from tests.support.fleet.machines import Machines
from tests.support.refusals import refused

JOB = {"optimizer": OptimizerSettings("fedavgm", (("momentum", 0.8),))}
ROUNDS = 3
FILES = ("roster", "plan", "record", "request", "before", "after", "answer-1", "answer-2", "answer-3")


@dataclass(frozen=True)
class Archive:
    """The rounds of a job as the orchestrator archived them, and what a forger with its keys can make of them."""

    fleet: Fleet
    rounds: tuple[dict[str, bytes], ...]

    def verify(self, root=None):
        return verify_job(self.rounds, root or self.fleet.parties.owner.root.verify_key, SystemRandomness(), insecure_keys=True)

    def with_file(self, place, name, data):
        """One file changed, added, or (None) taken away."""
        files = {key: value for key, value in self.rounds[place].items() if key != name} | ({} if data is None else {name: data})
        return Archive(self.fleet, (*self.rounds[:place], files, *self.rounds[place + 1 :]))

    def record(self, place):
        return decode(RoundRecord, decode_signed(self.rounds[place]["record"]).content, max_bytes=LIMITS.signed_document)

    def request(self, place):
        return decode_decryption_request(self.rounds[place]["request"])

    def with_record(self, place, **fields: object):
        """The orchestrator signs another record."""
        new = changed(self.record(place), fields)
        return self.with_file(place, "record", encode_signed(sign_record(new, self.fleet.parties.orchestrator.signing)))

    def with_request(self, place, bodies, **header: object):
        """The orchestrator asks for other bodies, header and record to match."""
        request = self.request(place)
        old = decode(Header, request.header.content, max_bytes=LIMITS.signed_document)
        root = cohort_of(old.plan_hash, bodies)
        new = msgspec.structs.replace(old, **({"root": root, "count": len(bodies)} | header))
        signed = sign_header(new, self.fleet.parties.orchestrator.signing)
        asked = msgspec.structs.replace(request, header=signed, bodies=tuple(bodies))
        return self.with_file(place, "request", encode(asked)).with_record(place, root=new.root)


def archive_of(machines):
    kept = [change for change in machines.kept["orchestrator"] if isinstance(change, KeepOutcome)]
    return Archive(machines.fleet, tuple(one.archive.files() for one in kept))


@pytest.fixture(scope="module")
def archive():
    machines = Machines(make_fleet(job=JOB))
    for _ in range(ROUNDS):
        machines.run_round()
    return archive_of(machines)


@pytest.fixture(scope="module")
def interrupted():
    """Released, aborted while collecting, aborted while decrypting, released."""
    machines = Machines(make_fleet(job=JOB))
    machines.run_round()
    machines.start()
    machines.orchestrate(AbortWanted("too few devices"))
    machines.start()
    machines.collect({name: machines.contribute(name) for name in machines.fleet.names[:5]})
    machines.orchestrate(AbortWanted("the committee is away"))
    machines.run_round()
    return archive_of(machines)


class TestHonest:
    def test_a_job_checks_out_from_its_first_round_to_its_last(self, archive):
        report = archive.verify()

        assert report.released == ROUNDS
        assert report.result_digest == archive.record(-1).result.model_after
        assert report.fleet == archive.fleet.roster.roster.fleet
        assert [one.number for one in report.rounds] == [1, 2, 3]
        assert {(one.devices, one.members) for one in report.rounds} == {(4, (1, 2, 3))}

    def test_the_cost_is_what_a_device_in_every_round_spent(self, archive):
        fleet = archive.fleet

        assert archive.verify().rho_nano == ROUNDS * nano_rho(fleet.plan().plan, fleet.roster)

    def test_aborted_rounds_in_between_are_fine(self, interrupted):
        report = interrupted.verify()

        assert [one.outcome for one in report.rounds] == [Outcome.RELEASED, Outcome.ABORTED, Outcome.ABORTED, Outcome.RELEASED]
        assert report.rounds[1].reason == "too few devices"
        assert report.released == 2

    def test_a_round_costs_what_a_participation_costs_and_nothing_where_nobody_took_part(self, interrupted):
        report = interrupted.verify()
        price = report.rounds[0].rho_nano

        assert price > 0
        assert [one.rho_nano for one in report.rounds] == [price if one.devices else 0 for one in report.rounds]
        assert 0 in {one.rho_nano for one in report.rounds}
        assert report.rho_nano == price * sum(one.devices > 0 for one in report.rounds)
        for number, record in ((1, interrupted.record(0)), (0, interrupted.record(1))):
            refuse(Refusal.ARCHIVE, interrupted.with_record(1 - number, rho_nano=0 if record.rho_nano else price))

    def test_a_new_key_counts_its_rounds_from_one(self):
        machines = Machines(make_fleet(job=JOB))
        machines.run_round()
        machines.run_round()
        machines.renew(machines.fleet.newer(key_epoch=1))
        machines.start()
        machines.orchestrate(AbortWanted("no shares yet"))

        report = archive_of(machines).verify()

        assert [one.number for one in report.rounds] == [1, 2, 1]

    def test_a_job_verified_from_its_middle_starts_the_optimiser_anew_and_is_refused(self, archive):
        refuse(Refusal.ARCHIVE, Archive(archive.fleet, archive.rounds[1:]))

    def test_the_summary_says_what_was_checked(self, archive):
        assert "3 of 3 rounds" in archive.verify().summary()


def refuse(reason, changed, kind=PeerError, root=None):
    with refused(reason, kind):
        changed.verify(root)


class TestFiles:
    @pytest.mark.parametrize("place", range(ROUNDS))
    @pytest.mark.parametrize("name", FILES)
    def test_a_flipped_bit_anywhere_in_any_file_is_refused(self, archive, place, name):
        data, randomness = archive.rounds[place][name], SeededRandomness(name.encode())
        for _ in range(12):
            bit = randomness.below(8 * len(data))
            flipped = (int.from_bytes(data, "big") ^ 1 << bit).to_bytes(len(data), "big")
            with pytest.raises(PeerError):
                archive.with_file(place, name, flipped).verify()

    @pytest.mark.parametrize("name", ["roster", "plan", "record"])
    def test_a_flipped_bit_in_what_was_signed_breaks_the_signature(self, archive, name):
        signed = decode_signed(archive.rounds[1][name])
        content = signed.content[:-1] + bytes([signed.content[-1] ^ 1])

        refuse(Refusal.SIGNATURE, archive.with_file(1, name, encode_signed(msgspec.structs.replace(signed, content=content))))

    @pytest.mark.parametrize("name", FILES)
    def test_a_missing_file_is_named(self, archive, name):
        refuse(Refusal.ARCHIVE, archive.with_file(2, name, None))

    @pytest.mark.parametrize("name", FILES[1:])
    def test_files_swapped_between_rounds_are_refused(self, archive, name):
        first, second = archive.rounds[0][name], archive.rounds[1][name]

        refuse(Refusal.ARCHIVE, archive.with_file(0, name, second).with_file(1, name, first))

    @pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (0, 0, 1, 2), (0, 2)])
    def test_rounds_out_of_order_twice_or_left_out_are_refused(self, archive, order):
        refuse(Refusal.ARCHIVE, Archive(archive.fleet, tuple(archive.rounds[place] for place in order)))

    def test_answers_swapped_between_members_are_refused(self, archive):
        first, second = archive.rounds[0]["answer-1"], archive.rounds[0]["answer-2"]

        refuse(Refusal.SIGNATURE, archive.with_file(0, "answer-1", second).with_file(0, "answer-2", first))

    def test_answers_below_a_quorum_are_refused(self, archive):
        refuse(Refusal.ARCHIVE, archive.with_file(1, "answer-2", None))

    def test_files_nobody_asked_for_are_passed_over(self, archive):
        assert archive.with_file(0, "answer-9", b"?").with_file(0, "notes", b"?").verify().released == ROUNDS

    def test_an_archive_without_rounds_is_refused(self, archive):
        refuse(Refusal.ARCHIVE, Archive(archive.fleet, ()))

    def test_another_root_key_is_refused(self, archive):
        refuse(Refusal.SIGNATURE, archive, root=SigningKey.generate(SeededRandomness(b"another owner")).verify_key)

    def test_test_keys_pass_only_where_they_were_asked_for(self, archive):
        with refused(Refusal.KEY_TOO_SMALL, PeerError):
            verify_job(archive.rounds, archive.fleet.parties.owner.root.verify_key, SystemRandomness())


class TestForger:
    """The orchestrator itself rewrites its archive, signatures and all."""

    def test_another_cost(self, archive):
        refuse(Refusal.ARCHIVE, archive.with_record(0, rho_nano=archive.record(0).rho_nano - 1))

    def test_another_model_after_in_file_and_record(self, archive):
        model = GlobalModel(3, np.zeros(10))

        refuse(Refusal.ARCHIVE, archive.with_file(2, "after", model.to_bytes()).with_record(2, model_after=model.digest))

    def test_another_model_from_one_round_to_the_next(self, archive):
        """Consistently wherever it is named, the next plan included, except that no cohort gives it."""
        fleet, model = archive.fleet, GlobalModel(1, np.zeros(10))
        plan = fleet.plan(2, parameter_hash=model.digest, model_version=1)
        forged = archive.with_file(0, "after", model.to_bytes()).with_record(0, model_after=model.digest)
        forged = forged.with_file(1, "before", model.to_bytes()).with_record(1, model_before=model.digest, plan_hash=plan.digest)

        refuse(Refusal.ARCHIVE, forged.with_file(1, "plan", encode_signed(plan.signed)))

    @pytest.mark.parametrize("ids", [(), ("device-01",), ("device-01", "device-02", "device-03", "device-05")])
    def test_other_names_in_the_cohort(self, archive, ids):
        refuse(Refusal.ARCHIVE, archive.with_record(0, device_ids=ids))

    def test_another_root_in_the_record(self, archive):
        refuse(Refusal.ARCHIVE, archive.with_record(0, root=bytes(32)))

    def test_another_root_in_record_and_header(self, archive):
        refuse(Refusal.ARCHIVE, archive.with_request(0, archive.request(0).bodies, root=bytes(32)))

    def test_another_count_in_the_header(self, archive):
        refuse(Refusal.ARCHIVE, archive.with_request(0, archive.request(0).bodies, count=5))

    def test_a_header_of_another_round(self, archive):
        refuse(Refusal.ARCHIVE, archive.with_request(0, archive.request(0).bodies, round=2))

    def test_a_cohort_that_no_member_answered_for(self, archive):
        fleet, plan = archive.fleet, archive.fleet.plan()
        bodies = [*archive.request(0).bodies[:3], fleet.body(plan, "device-05")]
        ids = (*archive.record(0).device_ids[:3], "device-05")

        refuse(Refusal.ARCHIVE, archive.with_request(0, bodies).with_record(0, device_ids=ids))

    @pytest.mark.parametrize("count", [3, 0])
    def test_a_cohort_below_k_min(self, archive, count):
        forged = archive.with_request(0, archive.request(0).bodies[:count])

        refuse(Refusal.ARCHIVE, forged.with_record(0, device_ids=archive.record(0).device_ids[:count], root=forged.record(0).root))

    def test_a_body_of_a_device_nobody_enrolled(self, archive):
        stranger = make_fleet(devices=7)
        bodies = [*archive.request(0).bodies, stranger.body(archive.fleet.plan(), "device-07")]

        refuse(Refusal.NOT_ENROLLED, archive.with_request(0, bodies))

    def test_a_body_twice(self, archive):
        bodies = archive.request(0).bodies

        refuse(Refusal.REQUEST_DUPLICATE, archive.with_request(0, [*bodies, bodies[-1]]), FaultyOrchestrator)

    def test_a_body_whose_proof_does_not_hold(self, archive):
        fleet, bodies = archive.fleet, list(archive.request(0).bodies)
        shifted = decode_body(bodies[0])
        key = key_of(fleet.terms())
        number = int.from_bytes(shifted.items[0], "big") * (1 + key.modulus) % key.modulus_squared
        items = (number.to_bytes(key.ciphertext_bytes, "big"), *shifted.items[1:])
        bodies[0] = fleet.sign_body(msgspec.structs.replace(shifted, items=items))

        refuse(Refusal.KNOWLEDGE_PROOF, archive.with_request(0, bodies), FaultyDevice)

    def test_an_answer_whose_proof_does_not_hold(self, archive):
        """A member helps the forger: it signs partials that its share did not make."""
        signed = decode_signed(archive.rounds[0]["answer-2"])
        answer = decode(Answer, signed.content, max_bytes=LIMITS.answer)
        wrong = msgspec.structs.replace(answer, items=answer.items[::-1])
        forged = archive.fleet.parties.devices["device-02"].signing.sign(Label.ANSWER, encode(wrong))

        refuse(Refusal.PARTIAL_PROOF, archive.with_file(0, "answer-2", encode_signed(forged)), FaultyMember)

    def test_a_plan_below_the_owners_floor(self, archive):
        thin = archive.fleet.plan(1, variance=16)

        refuse(Refusal.PLAN_NOISE, archive.with_file(0, "plan", encode_signed(thin.signed)), FaultyOrchestrator)

    def test_a_plan_under_another_roster(self, archive):
        newer = archive.fleet.newer()

        refuse(Refusal.ARCHIVE, archive.with_file(0, "roster", encode_signed(newer.roster.signed)))

    @pytest.mark.parametrize(
        "fields", [{"fleet": "others"}, {"key_id": bytes(32)}, {"round": 9}, {"plan_hash": bytes(32)}, {"model_before": bytes(32)}], ids=str
    )
    def test_a_record_of_something_else(self, archive, fields):
        refuse(Refusal.ARCHIVE, archive.with_record(1, **fields))

    @pytest.mark.parametrize("version", [0, 2, 7])
    def test_another_version(self, archive, version):
        refuse(Refusal.ARCHIVE, archive.with_record(0, version_after=version))

    @pytest.mark.parametrize(
        "settings",
        [
            OptimizerSettings("fedavg", ()),
            OptimizerSettings("fedavgm", (("momentum", 0.7),)),
            OptimizerSettings("fedavgm", (("momentum", 0.8), ("learning_rate", 0.5))),
        ],
        ids=str,
    )
    def test_another_optimiser(self, archive, settings):
        refuse(Refusal.ARCHIVE, archive.with_record(1, optimizer=settings))

    @pytest.mark.parametrize("settings", [OptimizerSettings("magic", ()), OptimizerSettings("fedavgm", (("momentum", 2.0),))], ids=str)
    def test_an_optimiser_that_does_not_exist(self, archive, settings):
        refuse(Refusal.ARCHIVE, archive.with_record(1, optimizer=settings))

    def test_a_released_round_passed_off_as_aborted(self, archive):
        record = archive.record(1)

        refuse(Refusal.ARCHIVE, archive.with_record(1, outcome=Outcome.ABORTED))
        refuse(Refusal.ARCHIVE, archive.with_record(1, outcome=Outcome.ABORTED, model_after=record.result.model_before))

    def test_an_aborted_round_that_changed_the_model(self, interrupted):
        model = GlobalModel(1, np.zeros(10))

        refuse(Refusal.ARCHIVE, interrupted.with_record(1, model_after=model.digest).with_file(1, "after", model.to_bytes()))

    @pytest.mark.parametrize("version", [0, 2])
    def test_an_aborted_round_that_counts_as_a_version(self, interrupted, version):
        refuse(Refusal.ARCHIVE, interrupted.with_record(1, version_after=version))

    def test_an_aborted_round_passed_off_as_released(self, interrupted):
        forged = interrupted.with_record(2, outcome=Outcome.RELEASED, version_after=2)

        refuse(Refusal.ARCHIVE, forged)

    def test_an_older_roster_after_a_newer_one(self):
        machines = Machines(make_fleet(job=JOB))
        machines.run_round()
        old = machines.fleet
        machines.renew(old.without("device-06"))
        machines.run_round()
        rounds = archive_of(machines)
        assert rounds.verify().released == 2
        machines.renew(machines.fleet.newer())
        stale = Machines(old)
        now = machines.coordinator.state.memory
        stale.coordinator.state = NoRound(replace(now, roster=old.roster, last_round={old.roster.key_id: 2}, record=None))
        stale.run_round()

        refuse(Refusal.ARCHIVE, Archive(old, (*rounds.rounds, *archive_of(stale).rounds)))


def decode_body(signed):
    return decode(Body, signed.content, max_bytes=LIMITS.body)


def test_whatever_one_file_holds_the_answer_is_a_typed_error(archive):
    randomness = SeededRandomness(b"garbage")
    for place in range(ROUNDS):
        for name, data in archive.rounds[place].items():
            for junk in (b"", b"\xc0", data[:-1], data + b"\x00", randomness.octets(len(data)), data[: len(data) // 2]):
                with pytest.raises(HushfleetError):
                    archive.with_file(place, name, junk).verify()
