"""What the examples share: where their pictures go."""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.figure import Figure

GALLERY = Path(__file__).resolve().parents[1] / "docs" / "gallery"


def save(figure: Figure, name: str) -> None:
    """Save as ``name.png`` in the folder that the command line names, or in docs/gallery."""
    if len(sys.argv) > 2:
        raise SystemExit(f"usage: python {sys.argv[0]} [output folder]")
    folder = Path(sys.argv[1]) if len(sys.argv) == 2 else GALLERY
    folder.mkdir(parents=True, exist_ok=True)
    # Without matplotlib's version in the file the same picture is the same file.
    figure.savefig(folder / f"{name}.png", dpi=180, metadata={"Software": None})
    print(f"saved {folder / f'{name}.png'}")
