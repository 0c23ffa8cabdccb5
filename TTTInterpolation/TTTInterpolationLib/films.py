"""A film of a view through all frames, as MP4 or animated GIF. Each picture says whether its frame is synthetic."""

from __future__ import annotations

import os
import tempfile
from typing import Callable, Optional

import slicer
from slicer.i18n import tr as _

from ttt4d.errors import OutputError

from . import browsing, sequences

VIEWS = ("Red", "Green", "Yellow", "3D")
_CAPTION_HEIGHT = 24


def save(frames, path: str, view: str = "Red", capture: Optional[Callable[[str], None]] = None) -> int:
    """Save a film with one picture for each frame, and return their number.

    Parameters
    ----------
    frames : vtkMRMLSequenceNode
        A result with a browser. The frame that it shows is shown again at the end.
    path : str
        A file that ends in .gif or .mp4. An .mp4 needs the program ffmpeg, which Slicer's Screen Capture module finds.
    view : str
        One of `VIEWS`.
    capture : callable, optional
        Called with a path to save a picture of the view there; Slicer's Screen Capture by default.

    Raises
    ------
    OutputError
        If the name has another ending, or ffmpeg is not there.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending not in (".gif", ".mp4"):
        raise OutputError(_("{name} is no film: end it in .gif or .mp4.").format(name=os.path.basename(path)))
    if ending == ".mp4" and not _ffmpegLogic():
        raise OutputError(_("The program ffmpeg, which makes .mp4 files, was not found: set it up in the Screen "
                            "Capture module, or end the name in .gif."))
    browser = browsing.browserOf(frames)
    shown, rate = browser.GetSelectedItemNumber(), browser.GetPlaybackRateFps()
    playing = browser.GetPlaybackActive()
    browser.SetPlaybackActive(False)
    try:
        with tempfile.TemporaryDirectory(prefix="ttt") as folder:
            pictures = _capture(frames, browser, folder, capture or _captureOf(view))
            if ending == ".gif":
                _writeGif(pictures, path, rate)
            else:
                _ffmpegLogic().createVideo(rate, "-codec libx264 -preset slower -pix_fmt yuv420p", folder,
                                           "picture_%03d.png", path)
    finally:
        browser.SetSelectedItemNumber(shown)
        browser.SetPlaybackActive(playing)
    return len(pictures)


def _capture(frames, browser, folder: str, capture: Callable[[str], None]) -> list[str]:
    pictures = []
    for number, mark in enumerate(sequences.marksOf(frames)):
        value = frames.GetNthIndexValue(number)
        browser.SetSelectedItemNumber(browser.GetMasterSequenceNode().GetItemNumberFromIndexValue(value, False))
        pictures.append(os.path.join(folder, f"picture_{number:03d}.png"))
        slicer.app.processEvents()
        capture(pictures[-1])
        _addCaption(pictures[-1], f"{float(value):.0f} %  {mark}.  Not for clinical use.")
    return pictures


def _captureOf(view: str) -> Callable[[str], None]:
    import ScreenCapture

    logic, manager = ScreenCapture.ScreenCaptureLogic(), slicer.app.layoutManager()
    widget = manager.threeDWidget(0).threeDView() if view == "3D" else manager.sliceWidget(view).sliceView()
    return lambda path: logic.captureImageFromView(widget, path)


def _ffmpegLogic():
    """Return the logic of the Screen Capture module if it has ffmpeg, else None."""
    try:
        import ScreenCapture
    except ImportError:
        return None
    logic = ScreenCapture.ScreenCaptureLogic()
    return logic if logic.isFfmpegPathValid() else None


def _addCaption(path: str, text: str) -> None:
    # Here and not above: needed for films alone. It comes with Slicer.
    from PIL import Image, ImageDraw

    with Image.open(path) as picture:
        # Even sides, as the codec of .mp4 needs them.
        width, height = (size + size % 2 for size in (picture.width, picture.height + _CAPTION_HEIGHT))
        film = Image.new("RGB", (width, height))
        film.paste(picture.convert("RGB"))
    ImageDraw.Draw(film).text((6, height - _CAPTION_HEIGHT + 6), text, fill=(255, 255, 255))
    film.save(path)


def _writeGif(pictures: list[str], path: str, rate: float) -> None:
    from PIL import Image

    first, *others = (Image.open(picture) for picture in pictures)
    first.save(path, save_all=True, append_images=others, duration=round(1000 / rate), loop=0)
    for picture in (first, *others):
        picture.close()
