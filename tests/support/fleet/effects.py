"""Sorting what a machine's step asks for."""

from collections.abc import Iterable
from typing import TypeVar

from hushfleet.rounds.effects import Change, Effect, Persist, Publish, Refused
from hushfleet.wire import Kind

T = TypeVar("T")


def published(effects: Iterable[Effect], kind: Kind) -> list[bytes]:
    """What is sent on this kind of topic, in order."""
    return [effect.data for effect in effects if isinstance(effect, Publish) and effect.topic.kind is kind]


def changes(effects: Iterable[Effect]) -> list[Change]:
    """Everything to be made durable, in order."""
    return [change for effect in effects if isinstance(effect, Persist) for change in effect.changes]


def of(effects: Iterable[Effect], kind: type[T]) -> list[T]:
    """The effects of one type, in order."""
    return [effect for effect in effects if isinstance(effect, kind)]


def raise_refusal(effects: Iterable[Effect]) -> None:
    """Raise the first refusal among `effects`, so that `refused` can judge it."""
    for effect in effects:
        if isinstance(effect, Refused):
            raise effect.error
