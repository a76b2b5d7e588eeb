"""The operator's wish to give up the round under way, on its way to the orchestrator that runs, or will (PROTOCOL 5.3)."""

from hushfleet.system.durable import write_durably
from orchestrator.folder import StateFolder


def hand_over(folder: StateFolder, reason: str) -> None:
    """Leave the wish for the running orchestrator."""
    write_durably(folder.wish_to_give_up, reason.encode())
    folder.hand_over()


def take(folder: StateFolder) -> str | None:
    """The reason of a wish, which is then gone; None if there is none."""
    path = folder.wish_to_give_up
    if not path.exists():
        return None
    reason = path.read_text(errors="replace").strip()
    path.unlink()
    return reason or "given up"
