"""Settings files: typed, and every wrong line named at once."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.program.settings import Mistake, TableError, parse_settings, read_settings, strange_variables, wrong
from tests.support.refusals import refused


class Oven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    degrees: Annotated[int, msgspec.Meta(ge=50, le=300)]
    fan: bool = False
    mode: str = "top"

    def __post_init__(self) -> None:
        if self.fan and self.degrees > 250:
            raise ValueError("degrees must be at most 250 with the fan")


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: Path
    butter: float = 0.5


class Kitchen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    oven: Oven
    recipe: Recipe | None = None


SOURCE = Path("/etc/kitchen.toml")


def parse(text, **environment: str):
    return parse_settings(Kitchen, text, source=SOURCE, next_step="Bake.", environment=environment, prefix="KITCHEN_")


def mistakes(text, **environment: str) -> list[str]:
    with pytest.raises(LocalError) as caught:
        parse(text, **environment)
    assert (caught.value.reason, caught.value.next_step) == (Refusal.CONFIG_INVALID, "Bake.")
    return caught.value.message.splitlines()


def test_a_file_becomes_typed_settings(tmp_path):
    (tmp_path / "kitchen.toml").write_text('[oven]\ndegrees = 180\nfan = true\n[recipe]\npath = "cake.txt"\nbutter = 1\n')

    kitchen = read_settings(Kitchen, tmp_path / "kitchen.toml", next_step="")

    assert kitchen == Kitchen(Oven(180, fan=True), Recipe(tmp_path / "cake.txt", 1.0))


def test_a_file_that_is_not_there_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_settings(Kitchen, tmp_path / "kitchen.toml", next_step="")


def test_an_absolute_path_stays_as_it_is():
    kitchen = parse('[oven]\ndegrees = 180\n[recipe]\npath = "/srv/cake.txt"')

    assert kitchen.recipe == Recipe(Path("/srv/cake.txt"))


def test_every_wrong_line_is_named_at_once():
    text = """# supper
[oven]
degrees = "hot"
fan = 1
windows = 2

[garden]
[recipe]
path = 7
butter = "much"
"""
    assert mistakes(text) == [
        f"{SOURCE}: 6 things are wrong",
        "  line 3: [oven] degrees: expected a whole number >= 50 and <= 300, got a text in quotes",
        "  line 4: [oven] fan: expected true or false, got 1",
        "  line 5: [oven] has no key windows; it has degrees, fan, mode",
        "  line 7: there is no table [garden] here; there are oven, recipe",
        "  line 9: [recipe] path: expected a path in quotes, got 7",
        "  line 10: [recipe] butter: expected a number, got a text in quotes",
    ]


def test_what_is_missing_is_named_where_it_belongs():
    assert mistakes("[oven]\nfan = false") == [f"{SOURCE}: 1 thing is wrong", "  line 1: [oven] degrees is missing"]
    assert mistakes("") == [f"{SOURCE}: 1 thing is wrong", "  the table [oven] is missing"]


def test_a_range_stands_in_the_type():
    assert mistakes("[oven]\ndegrees = 20")[1] == "  line 2: [oven] degrees: expected a whole number >= 50 and <= 300, got 20"


def test_what_two_keys_may_not_be_together_is_the_tables_mistake():
    assert mistakes("[oven]\ndegrees = 280\nfan = true")[1] == "  line 1: [oven] degrees must be at most 250 with the fan"


def test_a_key_in_place_of_a_table():
    assert mistakes("oven = 3")[1] == "  oven is a table: write [oven], then its keys"


def test_what_is_no_toml_is_refused():
    with refused(Refusal.CONFIG_INVALID, LocalError):
        parse("[oven\n")


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "kitchen.toml").write_bytes(b"[oven]\ndegrees = 180 # 180 \xb0C in Latin 1")

    with pytest.raises(LocalError, match=r"kitchen\.toml is no text in UTF-8") as caught:
        read_settings(Kitchen, tmp_path / "kitchen.toml", next_step="Bake.")
    with refused(Refusal.CONFIG_INVALID, LocalError):
        raise caught.value


def test_the_environment_overrides_single_values():
    kitchen = parse("[oven]\ndegrees = 180", KITCHEN_OVEN_DEGREES="200", KITCHEN_OVEN_FAN="true", KITCHEN_RECIPE_PATH="cake.txt")

    assert kitchen == Kitchen(Oven(200, fan=True), Recipe(Path.cwd() / "cake.txt"))


def test_a_slip_in_a_variables_name_is_named():
    environment = {"KITCHEN_OVEN_DEGREE": "170", "KITCHEN_X": "1", "KITCHEN_OVEN_FAN": "true", "KITCHEN_HOME": "/", "OVEN_DEGREES": "1"}

    assert strange_variables(Kitchen, environment, "KITCHEN_", ("HOME",)) == (
        "KITCHEN_OVEN_DEGREE in the environment means nothing; did you mean KITCHEN_OVEN_DEGREES?",
        "KITCHEN_X in the environment means nothing.",
    )


def test_a_wrong_override_is_a_mistake_too():
    told = mistakes("[oven]\ndegrees = 180", KITCHEN_OVEN_DEGREES="hot")[1]
    assert told.startswith("  KITCHEN_OVEN_DEGREES in the environment: expected a whole number")


def test_a_program_adds_what_only_the_world_shows():
    text = "[oven]\ndegrees = 180\n"
    error = wrong(SOURCE, text, [Mistake("oven", "degrees", "this oven is broken"), Mistake("", "", "no flour")], "Buy flour.")

    assert error.message.splitlines() == [f"{SOURCE}: 2 things are wrong", "  no flour", "  line 2: this oven is broken"]


class Pantry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    flour: Decimal = Decimal(1)
    sugar: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        empty = [(key, f"{key} is used up") for key in ("flour", "sugar") if getattr(self, key) <= 0]
        if empty:
            raise TableError(empty)


class Cellar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pantry: Pantry = msgspec.field(default_factory=Pantry)


def test_a_table_may_name_several_lines_at_once():
    with pytest.raises(LocalError) as caught:
        parse_settings(Cellar, "[pantry]\nflour = -1\nsugar = 0\n", source=SOURCE, next_step="")
    assert caught.value.message.splitlines()[1:] == ["  line 2: [pantry] flour is used up", "  line 3: [pantry] sugar is used up"]


def test_a_number_may_be_kept_as_it_was_typed():
    typed = "0.1000000000000000000000001"
    cellar = parse_settings(Cellar, f"[pantry]\nflour = {typed}\n", source=SOURCE, next_step="", parse_float=Decimal)
    assert str(cellar.pantry.flour) == typed
