"""Names that fit into a table."""

from __future__ import annotations

import re

_DIGEST = re.compile(r"(?=[0-9a-f]*[0-9])[0-9a-f]{12,}")
_DIGEST_KEPT = 6


def shorten(name: str, longest: int = 48) -> str:
    """Shorten a name: digests to their beginning, then the middle; control characters are shown as such."""
    clean = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    clean = _DIGEST.sub(lambda found: f"{found[0][:_DIGEST_KEPT]}…", clean)
    if len(clean) <= longest:
        return clean
    end = (longest - 1) // 3
    return f"{clean[: longest - 1 - end]}…{clean[-end:]}"
