"""The head of a party's journal, as it stands in statuses, answers, plans and records (PROTOCOL 8)."""

from hushfleet.codec import Message
from hushfleet.documents.validation import require_counts, require_hashes
from hushfleet.ids import HASH_BYTES


class JournalHead(Message, frozen=True):
    """`number` entries were made, and `head` is the hash over all of them, 32 bytes. Raises `PeerError(MESSAGE_MALFORMED)`."""

    number: int
    head: bytes

    def __post_init__(self) -> None:
        require_counts(self.number)
        require_hashes(self.head)


EMPTY_JOURNAL = JournalHead(0, bytes(HASH_BYTES))
"""The head before the first entry."""
