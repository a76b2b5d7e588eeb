"""Extracting an example finds exactly the marked block, or fails."""

from pathlib import Path

import pytest

from tests.support.examples import example

PAGE = """# Title

```python
not_this = 1
```

<!-- example: first -->
```python
x = 1

y = 2
```

<!-- example: second -->

```python
z = 3
```

<!-- example: twice -->
```python
```
<!-- example: twice -->
```python
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_the_marked_block_is_found(page: Path) -> None:
    assert example(page, "first") == "x = 1\n\ny = 2\n"
    assert example(page, "second") == "z = 3\n"


@pytest.mark.parametrize("name", ["third", "twice"])
def test_anything_else_is_an_error(page: Path, name: str) -> None:
    with pytest.raises(LookupError, match=name):
        example(page, name)
