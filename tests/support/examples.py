"""Examples in the documentation, so that tests run what a reader copies."""

import re
from pathlib import Path


def example(page: Path, name: str) -> str:
    """The Python block that follows `<!-- example: NAME -->` on `page`; LookupError unless there is exactly one."""
    pattern = rf"^<!-- example: {re.escape(name)} -->\n+```python\n(.*?)^```$"
    found: list[str] = re.findall(pattern, page.read_text(), flags=re.MULTILINE | re.DOTALL)
    if len(found) != 1:
        raise LookupError(f"{page} has {len(found)} examples called {name}, one is needed")
    return found[0]
