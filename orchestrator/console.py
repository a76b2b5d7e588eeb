"""The rich console of every program: what is printed on it is plain text and its own styles, never an order to the terminal."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from hushfleet.system.plain_text import plain


class PlainConsole(Console):
    """A console that shows control characters in a text as their escapes, whatever it is part of: a line, a table, a moving status."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of `renderable`; those that rich itself made to steer the terminal pass as they are."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(_plain_lines(segment.text), segment.style)


def _plain_lines(text: str) -> str:
    """The text without a change to its line breaks: rich lays lines out before it renders them."""
    return "\n".join(map(plain, text.split("\n")))
