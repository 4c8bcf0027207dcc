"""`journeysim attribute --list`: every method, where it comes from, what it assumes, when it misleads."""

from __future__ import annotations

from typing import Final

from journeysim.cli.terminal import print_hanging, print_line

_NEEDS: Final = {
    "times": "the times of touches",
    "nulls": "journeys without a conversion",
    "stages": "a log with stages",
}


def print_methods() -> None:
    """Print the table of methods, a paragraph for each."""
    from journeysim.attribution import method_table

    for i, row in enumerate(method_table().iter_rows(named=True)):
        if i:
            print_line("")
        print_line(row["method"], style="bold")
        told = {
            "paper": row["paper"],
            "assumes": row["assumes"],
            "misleads": row["misleads"],
            "needs": " and ".join(_NEEDS[need] for need in row["needs"].split(", ") if need),
            "note": "credit may be negative" if row["may_be_negative"] else "",
            "from": "" if row["provided_by"] == "journeysim" else row["provided_by"],
        }
        for label, text in told.items():
            if text:
                print_hanging(f"  {label:<10}", text)
