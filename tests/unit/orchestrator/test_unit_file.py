"""What systemd is told of the orchestrator's exit codes."""

from configparser import ConfigParser
from pathlib import Path

from hushfleet.cli import ExitCode

UNIT = Path(__file__).parents[3] / "systemd/hushfleet-orchestrator.service"


def test_what_only_a_person_can_mend_is_not_tried_again_and_all_else_is():
    unit = ConfigParser(strict=False, interpolation=None)
    unit.read(UNIT)
    service = unit["Service"]

    assert service["Restart"] == "on-failure"
    prevented = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert prevented == {ExitCode.USAGE, ExitCode.NOT_FOUND, ExitCode.CANNOT_START}
