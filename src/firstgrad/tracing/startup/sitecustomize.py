"""Python imports this before a script, where ``PYTHONPATH`` begins with its folder: the recorder starts here.

Whatever happens here, the script runs as if it weren't there.
"""

import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

sys.path[:] = [place for place in sys.path if place != str(Path(__file__).parent)]
try:
    from firstgrad.tracing.recorder import record_here

    record_here()
except Exception:  # noqa: BLE001, S110 - another Python without firstgrad, a full disk: then nothing is recorded
    pass
own = sys.modules.pop(__name__)
with suppress(ImportError):
    import_module(__name__)  # the one that this one hides
sys.modules.setdefault(__name__, own)
