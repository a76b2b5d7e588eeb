"""`hushfleet provision committee`: who holds shares of the fleet's decryption key."""

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import click

from hushfleet.program.terminal import say, say_in_place
from hushfleet.typed import typed
from provisioning.afterwards import after_broker_change, publish_roster
from provisioning.command import OwnerCommand, owner_command
from provisioning.contents import VaultContents

if TYPE_CHECKING:
    from hushfleet.encryption.paillier.dealing import Dealing

_BITS = 3072
_REPORT_EVERY_S = 2.0


@click.group(epilog="Example: hushfleet provision committee deal pi-01 pi-02 pi-03 pi-04")
def committee() -> None:
    """Choose the members that open sums: with shares of a dealt key, or with their sealing keys alone."""


@committee.command(name="deal", epilog="Example: hushfleet provision committee deal pi-01 pi-02 pi-03 pi-04")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--bits", default=_BITS, show_default=True, type=click.IntRange(2048, 8192), help="Size of the key; a multiple of 16.")
@click.option("--insecure-bits", type=click.IntRange(512, 2032), hidden=True, help="A key that anybody can break, for tests.")
@owner_command(passphrase=True, consent=True)
def deal_command(*, command: OwnerCommand, ids: tuple[str, ...], bits: int, insecure_bits: int | None) -> None:
    """Deal a fresh key to 4, 7 or 10 devices, under a new key epoch, and sign a roster with it.

    `pi-01 .. pi-04` means all approved devices from the one to the other. Writes every bundle. The key itself is forgotten.
    """
    from provisioning import proposals  # noqa: PLC0415 -- the cryptography, when it is needed

    members = in_full(command.registry, ids)
    f, size = (len(members) - 1) // 3, insecure_bits or bits
    change, done = command.carry(
        lambda registry: proposals.committee(registry, command.policy, members),
        lambda vault, planned: vault.carry_out(planned, _fresh_key(size, f, insecure=insecure_bits is not None)),
    )
    roster = change.roster
    result = {
        "committee": list(members),
        "threshold": 2 * f + 1,
        "key_epoch": roster.key_epoch if roster else None,
        "serial": roster.serial if roster else None,
        "key_bits": size,
        "dealt": done,
        "bundles": [f"{command.folder.bundle_file(name)}" for name in change.bundles] if done else [],
    }
    command.tell(result, _after(command, members, first=change.before.verified is None) if done else ())


@committee.command(name="name", epilog="Example: hushfleet provision committee name pi-01 pi-02 pi-03 pi-04")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@owner_command(passphrase=True, consent=True)
def name_command(*, command: OwnerCommand, ids: tuple[str, ...]) -> None:
    """Make 4, 7 or 10 devices the committee without dealing a key, under a new key epoch, and sign a roster with it.

    For fleets whose jobs run scheme `shared`, whose members open sums with their sealing keys; `paillier` needs a dealt key.
    `pi-01 .. pi-04` means all approved devices from the one to the other. Writes every bundle.
    """
    from provisioning import proposals  # noqa: PLC0415 -- the cryptography, when it is needed

    members = in_full(command.registry, ids)
    change, done = command.carry(
        lambda registry: proposals.committee(registry, command.policy, members, deals=False),
        lambda vault, planned: vault.carry_out(planned),
    )
    roster = change.roster
    result = {
        "committee": list(members),
        "threshold": 2 * ((len(members) - 1) // 3) + 1,
        "key_epoch": roster.key_epoch if roster else None,
        "serial": roster.serial if roster else None,
        "named": done,
        "bundles": [f"{command.folder.bundle_file(name)}" for name in change.bundles] if done else [],
    }
    command.tell(result, _after_naming(command, first=change.before.verified is None) if done else ())


def in_full(registry: VaultContents, ids: Sequence[str]) -> tuple[str, ...]:
    """`a .. b` written out: all approved devices from a to b in the order of their ids."""
    known = sorted(one.device_id for one in registry.devices)
    members: list[str] = []
    for position, name in enumerate(ids):
        if name != "..":
            members.append(name)
            continue
        if not 0 < position < len(ids) - 1:
            raise click.UsageError("'..' stands between the first and the last id of a range")
        first, last = (registry.device(ids[neighbour]).device_id for neighbour in (position - 1, position + 1))
        members += [one for one in known if first < one < last]
    return tuple(members)


def _after(command: OwnerCommand, members: tuple[str, ...], *, first: bool) -> tuple[str, ...]:
    """The others follow the roster alone: only a member's share comes in a bundle."""
    bundles = command.folder.path / "bundles"
    carry = f"each bundle in {bundles} to its device" if first else f"the bundles of {', '.join(members)} in {bundles} to these members"
    lines = [
        "The key is dealt and forgotten.",
        f"Carry {carry} and type there: {typed('agent', 'join', 'NAME.bundle')}",
        f"(as a service: sudo {typed('agent', 'install', 'NAME.bundle')})",
        "A member's bundle holds its key share, sealed to it: delete it here once the member has joined.",
    ]
    if first:
        lines.append(f"And the orchestrator's, to type there: {typed('orchestrator', 'join', 'NAME.bundle')}")
    else:
        lines.append(f"All others follow the roster. {publish_roster(command)}")
    return (*lines, *after_broker_change(command.registry.broker_folder))


def _after_naming(command: OwnerCommand, *, first: bool) -> tuple[str, ...]:
    """Nobody has a share to carry: after the first time the roster is all."""
    lines: tuple[str, ...] = (f"All follow the roster. {publish_roster(command)}",)
    if first:
        bundles = command.folder.path / "bundles"
        lines = (
            f"Carry each bundle in {bundles} to its device and type there: {typed('agent', 'join', 'NAME.bundle')}",
            f"(as a service: sudo {typed('agent', 'install', 'NAME.bundle')})",
            f"And the orchestrator's, to type there: {typed('orchestrator', 'join', 'NAME.bundle')}",
        )
    return (*lines, *after_broker_change(command.registry.broker_folder))


def _fresh_key(bits: int, f: int, *, insecure: bool) -> "Dealing":
    """Deal a key and tell the progress every few seconds. Raises `LocalError` as `deal`."""
    from hushfleet.encryption.paillier.dealing import deal  # noqa: PLC0415 -- as above
    from hushfleet.randomness import SystemRandomness  # noqa: PLC0415 -- as above

    say(f"Searching two safe primes of {bits // 2} bits: seconds on a laptop, minutes on a small machine.", err=True)
    progress = _Progress()
    with ThreadPoolExecutor(2) as executor:
        try:
            return deal(bits, f, SystemRandomness(), insecure=insecure, executor=executor, on_progress=progress)
        finally:
            progress.end()


class _Progress:
    """The number of candidates tried: rewritten in place on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._started = self._told = time.monotonic()
        self._in_place = sys.stderr.isatty()
        self._ended = False

    def __call__(self, tried: int) -> None:
        if self._ended:  # Ctrl-C: the other thread would search on
            raise InterruptedError
        now = time.monotonic()
        if now - self._told >= _REPORT_EVERY_S:
            self._told = now
            text = f"{now - self._started:.0f} s, about {2 * tried} candidates"
            say_in_place(text) if self._in_place else say(text, err=True)

    def end(self) -> None:
        """Leave the terminal's line, and stop whoever still searches."""
        self._ended = True
        if self._in_place and self._told != self._started:
            say_in_place("")
