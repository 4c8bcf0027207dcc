"""What several test modules need."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data that the project may not ship: $JOURNEYSIM_DATA, or ../shared/data beside the repository."""
    folder = Path(os.environ.get("JOURNEYSIM_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (folder / "pathdata.csv").is_file():
        pytest.skip(
            f"no pathdata.csv in {folder} (it may not be shipped); set JOURNEYSIM_DATA to the folder that has it"
        )
    return folder
