"""Room for what is written: said before the work, not after it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from liverank.errors import OutputError

_HINT = "Name another place, or mend its rights."


def output_folder(folder: Path) -> Path:
    """Makes the folder where it is missing and sees that a file can be written there.

    Raises:
        OutputError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Rights alone do not tell: root has all, also where the file system takes no file.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise OutputError(
            f"The folder {folder} cannot be made or written: {problem.strerror or problem}.", _HINT
        ) from problem
    return folder


def output_file(file: Path) -> Path:
    """Makes the folder of a file that is to be written.

    Raises:
        OutputError: nothing can be written there, or a folder has the file's name.
    """
    if file.is_dir():
        raise OutputError(f"{file} is a folder.", "Name a file.")
    output_folder(file.parent)
    return file
