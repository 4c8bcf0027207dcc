"""Compiled kernels are cached per state of the sources: numba alone keeps a kernel whose imports have changed."""

import hashlib
import os
from pathlib import Path

root = Path(__file__).parent
sources = b"".join(file.read_bytes() for file in sorted((root / "journeysim" / "simulation").glob("*.py")))
os.environ.setdefault(
    "NUMBA_CACHE_DIR", str(root / ".pytest_cache" / f"numba-{hashlib.sha256(sources).hexdigest()[:12]}")
)
