"""What the tests of ``alenv`` share."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can import what writes folders (by_hand)
