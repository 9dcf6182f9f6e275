"""Python environments and checkouts to measure in: made once, kept, and made again where they are not whole."""

from __future__ import annotations
