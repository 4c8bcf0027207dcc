"""Text from files, plain or gzipped, with errors that name the place."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from journeysim.errors import InputError


def read_text(file: str | Path) -> str:
    """The text of a UTF-8 file; `.gz` is unpacked, and the byte order mark that spreadsheets write is left out.

    Raises
    ------
    InputError : the file cannot be read, is cut off or is not UTF-8; with the line
    """
    file = Path(file)
    try:
        content = file.read_bytes()
        if file.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{file}: cannot be read ({reason}).") from error
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line, byte = content[: error.start].count(b"\n") + 1, content[error.start]
        raise InputError(f"{file} line {line}: byte 0x{byte:02x} is not UTF-8. Save the file as UTF-8.") from error
