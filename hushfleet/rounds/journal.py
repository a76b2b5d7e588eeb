"""The entries of a party's journal: one append-only list in its database, so that a store that forgets is noticed (PROTOCOL 8).

A store appends the entries of a step's changes in the transaction that makes them durable.
"""

from collections.abc import Iterable

from hushfleet.codec import Message, decode, encode
from hushfleet.documents import DecryptionRequest, Header, JournalHead, RoundRecord
from hushfleet.documents.limits import MAX_DECRYPTION_REQUEST_BYTES, MAX_HEADER_BYTES, MAX_RECORD_BYTES
from hushfleet.labels import sha256
from hushfleet.rounds.effects import Change, KeepAnswer, KeepContribution, KeepOutcome, KeepRequest, KeepRound


class JournalEntry(Message, frozen=True):
    """One thing that a party did once and must not do twice, such as a contribution: `what`, in a round of a key, and its hash or name."""

    what: str
    key_id: bytes
    round: int
    value: bytes


def entry_of(change: Change) -> bytes | None:
    """The entry that this change makes, or None if it makes none."""
    entry = _entry(change)
    return None if entry is None else encode(entry)


def opened_entry(data: bytes) -> JournalEntry:
    """The inverse of `entry_of`. Raises `PeerError` for anything else."""
    return decode(JournalEntry, data, max_bytes=MAX_HEADER_BYTES)


def advanced(head: JournalHead, changes: Iterable[Change]) -> JournalHead:
    """The head after the entries of these changes."""
    for change in changes:
        if (entry := entry_of(change)) is not None:
            head = head.then(entry)
    return head


def _entry(change: Change) -> JournalEntry | None:
    match change:
        case KeepContribution(entry, sealed):
            return JournalEntry("contribution", entry.key_id, entry.round_number, sha256(sealed))
        case KeepAnswer(key_id, number, root):
            return JournalEntry("answer", key_id, number, root)
        case KeepRound(key_id, number, plan):
            return JournalEntry("plan", key_id, number, sha256(plan.content))
        case KeepRequest(number, data):
            request = decode(DecryptionRequest, data, max_bytes=MAX_DECRYPTION_REQUEST_BYTES)
            header = decode(Header, request.header.content, max_bytes=MAX_HEADER_BYTES)
            return JournalEntry("root", header.key_id, number, header.root)
        case KeepOutcome(round=number, archive=archive):
            record = decode(RoundRecord, archive.record.content, max_bytes=MAX_RECORD_BYTES)
            return JournalEntry("outcome", record.key_id, number, record.outcome.value.encode())
    return None
