"""The changes from one roster to the next, in words for the person who signs."""

import math
from collections.abc import Iterator
from decimal import Decimal

from hushfleet.documents import DeviceEntry, NamedHash, Policy, Roster

_NANO = 10**9


def differences(before: Roster | None, after: Roster) -> tuple[str, ...]:
    """One line a change, `+`, `-` or `~` first; nothing if only the serial differs."""
    new = policy_lines(after.policy)
    if before is None:
        return tuple(_beginning(after, new))
    old = policy_lines(before.policy)
    changed = (f"~ {name}: {old.get(name)} -> {value}" for name, value in new.items() if value != old.get(name))
    return (*_devices(before, after), *_orchestrator(before, after), *_committee(before, after), *changed)


def policy_lines(policy: Policy) -> dict[str, str]:
    """Each value of a policy by its name in `policy.toml`, as text. The noise multiplier is shown as the root of what is signed."""
    lines = {
        "cohort.min_devices": f"{policy.min_devices}",
        "cohort.max_devices": f"{policy.max_devices}",
        "cohort.colluding_contributors": f"{policy.colluding_contributors}",
        "privacy.min_noise_multiplier": _root(policy),
        "privacy.budget_rho": _plain(Decimal(policy.budget_nano_rho) / _NANO),
        "privacy.allow_without_privacy": "true" if policy.allow_without_privacy else "false",
        "models.schemes": ", ".join(policy.schemes),
        "models.allowed": ", ".join(_named(one) for one in policy.models) or "none",
        "models.max_values": f"{policy.max_values}",
        "models.max_abs_parameter": f"{policy.max_abs_parameter:g}",
        "tasks.allowed": ", ".join(policy.tasks) or "none",
        "training.max_local_steps": f"{policy.max_local_steps}",
        "training.max_batch_size": f"{policy.max_batch_size}",
        "training.max_learning_rate": f"{policy.max_learning_rate:g}",
    }
    if policy.questions:  # likewise
        lines["questions"] = ", ".join(_named(one) for one in policy.questions)
    if policy.max_proximal != Policy.make().max_proximal:  # no key of policy.toml
        lines["training.max_proximal"] = f"{policy.max_proximal:g}"
    return lines


def _beginning(roster: Roster, policy: dict[str, str]) -> Iterator[str]:
    yield f"+ the first roster of {roster.fleet}, with {len(roster.devices)} devices: {_listed(roster.devices)}"
    yield f"+ committee of {len(roster.committee)}, {2 * roster.f + 1} required: {', '.join(roster.committee)}"
    yield from (f"+ {name} = {value}" for name, value in policy.items())


def _devices(before: Roster, after: Roster) -> Iterator[str]:
    old, new = ({entry.device_id: entry for entry in roster.devices} for roster in (before, after))
    for name in sorted(new.keys() - old.keys()):
        yield f"+ device {name}"
    for name in sorted(old.keys() - new.keys()):
        yield f"- device {name}"
    for name in [name for name in new if name in old and new[name] != old[name]]:
        same = new[name].verify_key == old[name].verify_key
        what = "a new sealing key" if same else "new keys: for the fleet it is a new device, and its privacy budget starts again"
        yield f"~ device {name}: {what}"


def _orchestrator(before: Roster, after: Roster) -> Iterator[str]:
    old, new = ((roster.orchestrator_verify_key, roster.orchestrator_sealing_key) for roster in (before, after))
    if old != new:
        yield "~ the orchestrator: new keys; devices refuse what the old ones sign"


def _committee(before: Roster, after: Roster) -> Iterator[str]:
    if before.key_epoch != after.key_epoch:
        yield f"~ key epoch {before.key_epoch} -> {after.key_epoch}: old shares are erased"
        yield f"~ committee: {', '.join(before.committee)} -> {', '.join(after.committee)}"


def _listed(devices: tuple[DeviceEntry, ...]) -> str:
    return ", ".join(entry.device_id for entry in devices)


def _named(one: NamedHash) -> str:
    return f"{one.name} ({one.digest.hex()[:16]})"


def _root(policy: Policy) -> str:
    numerator, denominator = policy.min_noise_numerator, policy.min_noise_denominator
    above, below = math.isqrt(numerator), math.isqrt(denominator)
    exact = above**2 == numerator and below**2 == denominator
    return _plain(Decimal(above) / below) if exact else f"{math.sqrt(policy.min_noise_squared):.9f}"


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
