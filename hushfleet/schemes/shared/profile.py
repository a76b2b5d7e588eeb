"""Costs and limits of scheme `shared`, and the parameters that all its sides derive from the plan."""

from hushfleet.documents import Plan, VerifiedRoster
from hushfleet.encryption.ring_mask.parameters import DEGREE, MOST_DEVICES, RingParameters
from hushfleet.encryption.sealing import sealed_size
from hushfleet.ids import HASH_BYTES
from hushfleet.labels import Label, length_prefixed
from hushfleet.privacy.blocks import encoded_length
from hushfleet.schemes.base import Costs, RoundTerms
from hushfleet.sharing.field import FIELD
from hushfleet.wire.limits import LIMITS

_ITEM_OVERHEAD_BYTES = 5
_BODY_OVERHEAD_BYTES = 512
"""More than everything in a contribution besides its masked vector and sealed shares."""
_MEMBER_CPU_S = 0.0005
"""A member's CPU seconds for one contribution of the sum: opening a sealed share and adding it up."""


class SharedProfile:
    """Satisfies `SchemeProfile`."""

    name = "shared"
    needs_dealt_key = False

    def costs(self, plan: Plan, roster: VerifiedRoster) -> Costs:
        """The cost of one round under `plan`: a member's does not depend on the model."""
        members, cohort = len(roster.roster.committee), plan.privacy.max_devices
        shares = members * (share_bytes() + HASH_BYTES + 2 * _ITEM_OVERHEAD_BYTES)
        body = members * (HASH_BYTES + _ITEM_OVERHEAD_BYTES) + _BODY_OVERHEAD_BYTES
        masked = RingParameters(plan.privacy.slot_bits).masked_bytes(_length(plan))
        return Costs(masked + shares + _BODY_OVERHEAD_BYTES, (body + share_bytes()) * cohort, _MEMBER_CPU_S * cohort)

    def misfit(self, plan: Plan, roster: VerifiedRoster) -> str:
        """The limits of a contribution, and of what is delivered to one member: a sealed share of every device."""
        cohort = plan.privacy.max_devices
        if cohort > MOST_DEVICES:
            return f"the errors of {cohort} masks may reach the values; scheme shared carries cohorts of {MOST_DEVICES}"
        if self.costs(plan, roster).contribution_bytes > LIMITS.contribution:
            return f"{plan.dimension} values are more than one contribution carries"
        if cohort * (share_bytes() + _ITEM_OVERHEAD_BYTES) > LIMITS.inbox:
            return f"the shares of {cohort} devices are more than one delivery to a member carries"
        return ""


PROFILE = SharedProfile()


def parameters_of(terms: RoundTerms) -> RingParameters:
    """The mask's parameters in this round."""
    return RingParameters(terms.plan.privacy.slot_bits)


def share_context(terms: RoundTerms, device_id: str, member_id: str) -> bytes:
    """The context that a sealed share is bound to: a share copied from another device, round or member does not open."""
    return terms.plan_hash + length_prefixed(device_id.encode()) + length_prefixed(member_id.encode())


def share_bytes() -> int:
    """Bytes of a sealed share at most: 2,048 elements of 20 bits, in a box with the longest ids."""
    longest_ids = 2 * (4 + 63)
    return sealed_size(Label.SEAL_SHARE, HASH_BYTES + longest_ids, FIELD.packed_bytes(DEGREE))


def _length(plan: Plan) -> int:
    return encoded_length(plan.dimension, plan.privacy.keep_one_in)
