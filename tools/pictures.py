"""Take the pictures of docs/tasks.md, smaller, out of a run: tools/pictures.py results/demo docs/images."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

PICTURES = {
    "forecast": "t-forecast-850-12h-map.webp",
    "interpolation": "t-temporal_interpolation-850-2h-map.webp",
    "downscaling": "2t-downscaling-0-0h-map.webp",
    "precipitation": "tp-precipitation-0-0h-map.webp",
}
"""Name on the page, and the report's figure."""
WIDTH, QUALITY = 800, 75


def main(results: Path, images: Path) -> None:
    """Write one picture for each task that has one."""
    images.mkdir(parents=True, exist_ok=True)
    for name, figure in PICTURES.items():
        path = results / "figures" / figure
        if not path.exists():
            raise SystemExit(f"{path}: no such figure; run make demo")
        with Image.open(path) as picture:
            smaller = picture.resize((WIDTH, round(WIDTH * picture.height / picture.width)))
            smaller.save(images / f"{name}.webp", quality=QUALITY)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
