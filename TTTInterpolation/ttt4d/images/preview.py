"""A picture of a result: the middle slice of every frame, as a montage (PNG) or moving (GIF)."""

from __future__ import annotations

from typing import List, Optional, Sequence

import numpy as np
from PIL import Image, ImageDraw

from .volume import Volume

EDGE = 160  # pixels of the longer edge of a slice
CAPTION = 14  # pixels of the line of words under it
MARGIN = 4
COLUMNS = 11
MILLISECONDS = 120  # that each frame of the moving picture stays
ACQUIRED, SYNTHETIC = (120, 120, 120), (255, 150, 0)
LEGEND = "Orange border: synthetic frame, computed and not measured. Not for clinical use."


class Preview:
    """Takes frames one at a time and keeps only the small pictures of their middle slices.

    Several rows can be shown together, such as the frames, the truth, and a plain blend, as long as their frames match.
    """

    def __init__(self, phases: Sequence[Volume], across: Optional[int] = None) -> None:
        """Choose the cut, the grey window and the shape of a pixel.

        Parameters
        ----------
        phases : sequence of Volume
            Give the grey window, from their 0.5th to their 99.5th percentile, and the shape of a pixel.
        across : int, optional
            The array axis that the cut is perpendicular to; the slice axis if left out.
        """
        sample = np.concatenate([phase.array.ravel()[::max(1, phase.array.size // 100000)] for phase in phases])
        self._low, self._high = (float(value) for value in np.percentile(sample, (0.5, 99.5)))
        size = phases[0].geometry.shape
        # Across slices; across the one slice of an image that is stored the other way.
        self._across = across if across is not None else 0 if min(size[1:]) > 1 else 1 + int(np.argmin(size[1:]))
        height, width = np.delete(np.multiply(size, phases[0].geometry.spacing), self._across)
        scale = EDGE / max(height, width)
        self._size = (max(1, round(width * scale)), max(1, round(height * scale)))
        self._rows: List[List[Image.Image]] = []

    def add(self, array: np.ndarray, index: Optional[float], acquired: bool, row: int = 0, title: str = "") -> None:
        """Add a frame (k, j, i) at `index` percent to the end of a row; title: of the row, shown with every frame."""
        middle = array.take(array.shape[self._across] // 2, self._across).astype(float)
        grey = np.clip((middle - self._low) / max(self._high - self._low, 1e-12), 0, 1)
        picture = Image.fromarray(np.uint8(np.rint(255 * grey))).resize(self._size, Image.Resampling.BICUBIC)
        width, height = self._size
        tile = Image.new("RGB", (width + 2 * MARGIN, height + 2 * MARGIN + CAPTION))
        colour = ACQUIRED if acquired else SYNTHETIC
        tile.paste(colour, (1, 1, width + 2 * MARGIN - 1, height + 2 * MARGIN - 1))
        tile.paste(picture, (MARGIN, MARGIN))
        words = title if index is None else f"{index:.0f} % {title}".strip()
        ImageDraw.Draw(tile).text((MARGIN, height + 2 * MARGIN), words, fill=colour)
        while len(self._rows) <= row:
            self._rows.append([])
        self._rows[row].append(tile)

    def save(self, path: str, kind: str) -> None:
        """Write the picture to a path in a format, `.png` or `.gif`, whatever the path's own name."""
        if kind.lower() == ".png":
            starts = range(0, len(self._rows[0]), COLUMNS)
            lines = [row[start:start + COLUMNS] for start in starts for row in self._rows]
            self._sheet(lines).save(path, format="PNG")
            return
        pictures = [self._sheet([list(tiles)]) for tiles in zip(*self._rows)]
        pictures[0].save(path, format="GIF", save_all=True, append_images=pictures[1:], duration=MILLISECONDS, loop=0)

    @staticmethod
    def _sheet(lines: Sequence[Sequence[Image.Image]]) -> Image.Image:
        """Tiles in lines, with the legend under them."""
        width, height = lines[0][0].size
        legend = ImageDraw.Draw(Image.new("RGB", (1, 1))).textlength(LEGEND)
        sheet = Image.new("RGB", (max(width * max(map(len, lines)), int(legend) + 2 * MARGIN),
                                  height * len(lines) + CAPTION + MARGIN))
        for row, tiles in enumerate(lines):
            for column, tile in enumerate(tiles):
                sheet.paste(tile, (width * column, height * row))
        ImageDraw.Draw(sheet).text((MARGIN, height * len(lines) + 1), LEGEND, fill=(200, 200, 200))
        return sheet
