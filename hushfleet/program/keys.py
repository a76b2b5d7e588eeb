"""The secret keys of a device or an orchestrator: made where they are used, kept in the party's folder, never sent anywhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from hushfleet.codec import encode
from hushfleet.documents import EnrolledRole, EnrolmentRequest, sign_enrolment_request
from hushfleet.documents.validation import SEALED_BOX
from hushfleet.encryption.sealing import SealingKey
from hushfleet.errors import LocalError, Refusal
from hushfleet.ids import device_id
from hushfleet.randomness import Randomness
from hushfleet.signing import KEY_BYTES, SigningKey
from hushfleet.system.durable import write_durably
from hushfleet.typed import typed


@dataclass(frozen=True)
class PartyKeys:
    """The id of a device or an orchestrator with its Ed25519 and X25519 key."""

    FILE: ClassVar[str]
    ROLE: ClassVar[EnrolledRole]
    ENROL: ClassVar[tuple[str, ...]]
    """The words of the command that makes such keys."""

    device_id: str
    signing: SigningKey
    sealing: SealingKey

    @classmethod
    def generate(cls, name: str, randomness: Randomness) -> Self:
        """Fresh keys under a valid id. Raises `PeerError(ID_MALFORMED)`."""
        return cls(device_id(name), SigningKey.generate(randomness), SealingKey.generate(randomness))

    def save(self, folder: Path) -> None:
        """Store in `folder`, readable by this user alone."""
        write_durably(folder / self.FILE, self.signing.seed() + self.sealing.seed() + self.device_id.encode())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The keys that `save` stored. Raises `LocalError(NOT_ENROLLED)` if there are none, or the file is damaged."""
        path = folder / cls.FILE
        data = path.read_bytes() if path.exists() else b""
        if len(data) <= 2 * KEY_BYTES:
            raise LocalError(Refusal.NOT_ENROLLED, f"no {cls.FILE} in {folder}", next_step=f"Run: {typed(*cls.ENROL)}")
        seeds, name = data[: 2 * KEY_BYTES], data[2 * KEY_BYTES :].decode(errors="replace")
        return cls(device_id(name), SigningKey(seeds[:KEY_BYTES]), SealingKey(seeds[KEY_BYTES:]))

    def request(self, certificate_request: bytes) -> bytes:
        """The contents of `NAME.request`, signed. `certificate_request`: for TLS, PEM."""
        public = (self.signing.verify_key.raw, self.sealing.public.raw)
        request = EnrolmentRequest(self.ROLE, self.device_id, *public, SEALED_BOX, certificate_request)
        return encode(sign_enrolment_request(request, self.signing))
