"""The head of a party's journal, as it stands in statuses, answers, plans and records (PROTOCOL 8)."""

from hushfleet.codec import Message
from hushfleet.documents.validation import require_counts, require_hashes
from hushfleet.ids import HASH_BYTES
from hushfleet.labels import Label, labelled_hash, length_prefixed, unsigned


class JournalHead(Message, frozen=True):
    """`number` entries were made, and `head` is the hash over all of them, 32 bytes. Raises `PeerError(MESSAGE_MALFORMED)`."""

    number: int
    head: bytes

    def __post_init__(self) -> None:
        require_counts(self.number)
        require_hashes(self.head)

    def then(self, entry: bytes) -> "JournalHead":
        """The head after one more entry."""
        return self.at(self.number + 1, entry)

    def at(self, number: int, entry: bytes) -> "JournalHead":
        """The head after an entry with this number, which is higher where a party that had forgotten goes on above what others know."""
        return JournalHead(number, labelled_hash(Label.JOURNAL, self.head, unsigned(number, 8), length_prefixed(entry)))


EMPTY_JOURNAL = JournalHead(0, bytes(HASH_BYTES))
"""The head before the first entry."""
