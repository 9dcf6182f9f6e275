"""What the how-to shows of traces is what docs/data has, in today's words."""

from __future__ import annotations

import pytest

from benchmarks.markers import replace_between_markers
from benchmarks.needless.run import PAGE, page_blocks


@pytest.mark.parametrize("name", ["trace-loop", "needless"])
def test_the_page_is_made_from_the_data(name):
    text = PAGE.read_text()
    assert replace_between_markers(text, name, page_blocks()[name]) == text, (
        "python -m benchmarks.needless.run --only-page"
    )
