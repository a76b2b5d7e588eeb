"""The parts that all of the owner's commands share: options, showing a change, asking, signing, and the result."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hushfleet.errors import PhaseError
from hushfleet.program.terminal import ask, json_option, print_json, say
from provisioning.contents import VaultContents
from provisioning.folder import VaultFolder
from provisioning.passphrase import PassphraseSource
from provisioning.policy_file import PolicyFile

if TYPE_CHECKING:  # with them comes the cryptography, which no help needs
    from provisioning.proposals import Proposal
    from provisioning.vault import Vault

Body = TypeVar("Body", bound=Callable[..., Any])
Propose = Callable[[VaultContents], "Proposal"]
Finish = Callable[["Vault", "Proposal"], "Proposal"]

DEFAULT_VAULT = Path("vault")


@dataclass(frozen=True, slots=True)
class OwnerCommand:
    """One command's common options."""

    folder: VaultFolder
    source: PassphraseSource
    yes: bool
    dry_run: bool
    as_json: bool

    @property
    def registry(self) -> VaultContents:
        """The public part of the vault. Raises `LocalError(VAULT_MISSING)`."""
        return self.folder.registry()

    def open(self, *, altered: bool = False) -> "Vault":
        """The vault, with the passphrase from where the options say. Raises `LocalError(VAULT_MISSING)` before it asks."""
        from provisioning.vault import Vault  # noqa: PLC0415 -- as above

        self.folder.registry()
        return Vault.open(self.folder.path, self.source.read(), altered=altered)

    @property
    def policy(self) -> PolicyFile:
        """The policy file as it is now. Raises `FileNotFoundError`, `LocalError(CONFIG_INVALID)`."""
        return self.folder.policy()

    def carry(self, propose: Propose, finish: Finish | None = None) -> tuple["Proposal", bool]:
        """Show what `propose` would change, ask, and carry it out, with `finish` or as it is; the change, and whether that was done.

        What can be refused is refused before anybody is asked, and the passphrase is asked for before `finish` takes its time.
        """
        shown = propose(self.registry)
        say(*(shown.lines or ("There is nothing to sign.",)), err=True)
        if self.dry_run:
            say("Dry run: nothing was changed.", err=True)
        if self.dry_run or shown.is_empty:
            return shown, False
        self.confirm("Do it?")
        with self.open() as vault:
            change = propose(vault.registry)
            if (change.lines, change.roster) != (shown.lines, shown.roster):
                raise PhaseError("the vault or its policy has changed since this was shown; run the command again")
            return (finish(vault, change) if finish else vault.carry_out(change)), True

    def confirm(self, question: str) -> None:
        """Ask, unless `--yes`. Raises as `ask`."""
        ask(question, yes=self.yes, instead="Look at it with --dry-run, then add --yes.")

    def tell_unchecked(self, result: dict[str, Any], lines: Sequence[str]) -> None:
        """As `tell`, of a registry that was read without the passphrase, which alone shows that nobody changed it."""
        say("Note: not checked. Only the passphrase shows that nobody changed registry.json.", err=True)
        self.tell({**result, "checked": False}, lines)

    def tell(self, result: dict[str, Any], lines: Sequence[str]) -> None:
        """The result on standard output: as JSON for a program, else these lines."""
        if self.as_json:
            print_json(result)
        elif lines:
            say(*lines)


def owner_command(*, passphrase: bool = False, consent: bool = False) -> Callable[[Body], Callable[..., Any]]:
    """Decorate a command with the common options, which it gets as `command`."""

    def decorate(body: Body) -> Callable[..., Any]:
        @functools.wraps(body)
        def wrapped(
            *,
            vault: Path,
            as_json: bool,
            passphrase_file: Path | None = None,
            passphrase_fd: int | None = None,
            yes: bool = False,
            dry_run: bool = False,
            **own: object,
        ) -> object:
            command = OwnerCommand(VaultFolder(vault), PassphraseSource(passphrase_file, passphrase_fd), yes, dry_run, as_json)
            return body(command=command, **own)

        # click lists options in the order in which decorators stand, the outermost first
        wanted = [_VAULT, *(_PASSPHRASE if passphrase else ()), *(_CONSENT if consent else ()), json_option]
        return functools.reduce(lambda command, option: option(command), reversed(wanted), wrapped)

    return decorate


_VAULT = click.option(
    "--vault",
    envvar="HUSHFLEET_VAULT",
    default=DEFAULT_VAULT,
    show_default=True,
    show_envvar=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The vault's folder.",
)
_PASSPHRASE = (
    click.option(
        "--passphrase-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Read the passphrase from the first line of this file instead of asking for it.",
    ),
    click.option("--passphrase-fd", type=click.IntRange(min=0), help="Or from this open file descriptor."),
)
_CONSENT = (
    click.option("--yes", is_flag=True, help="Sign without asking."),
    click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing. Needs no passphrase."),
)
