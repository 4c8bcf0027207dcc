"""docs/truth.md says what the program says. `PYTHONPATH=. python tests/test_truth_doc.py` writes its tables anew."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from typer.testing import CliRunner

from journeysim.cli import app
from journeysim.simulation.truth_frames import MEASURES

DOC = Path(__file__).parents[1] / "docs" / "truth.md"


def example_world(text: str) -> str:
    return re.search(r"<!-- world -->\n```yaml\n(.*?)```", text, flags=re.DOTALL)[1]  # type: ignore[index]


def output(text: str) -> str:
    """What the command prints for the world of the page, in a terminal of 80 columns."""
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "three-questions.yaml"
        world.write_text(example_world(text), encoding="utf-8")
        result = CliRunner().invoke(app, ["truth", str(world), "--shapley"], env={**os.environ, "COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return "```\n" + "\n".join(line.rstrip() for line in result.output.strip().splitlines()) + "\n```\n"


def measure_table() -> str:
    rows = ["| question | measure | unit | meaning |", "|---|---|---|---|"]
    for question, measures in MEASURES.items():
        rows += [f"| {question} | `{name}` | {unit} | {meaning} |" for name, (unit, meaning) in measures.items()]
    return "\n" + "\n".join(rows) + "\n\n"


def filled(text: str) -> str:
    for name, content in (("output", output(text)), ("measures", measure_table())):
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)",
            lambda found, content=content: found[1] + content + found[2],
            text,
            flags=re.DOTALL,
        )
    return text


def test_the_page_shows_what_the_command_prints():
    text = DOC.read_text(encoding="utf-8")
    assert filled(text) == text


if __name__ == "__main__":
    DOC.write_text(filled(DOC.read_text(encoding="utf-8")), encoding="utf-8")
