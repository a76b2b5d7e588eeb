"""The registry of the committee member's side of each scheme."""

from hushfleet.schemes.base import MemberScheme
from hushfleet.schemes.paillier.member import PaillierMember
from hushfleet.schemes.shared.member import SharedMember

MEMBER_SCHEMES: dict[str, MemberScheme] = {"paillier": PaillierMember(), "shared": SharedMember()}
