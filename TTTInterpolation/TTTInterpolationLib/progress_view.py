"""Progress as a bar and a line of text: stage, current work, elapsed and remaining time."""

from __future__ import annotations

import time
from typing import Optional

from slicer.i18n import tr as _


class ProgressView:
    """Shows the engine's progress messages in a progress bar and a status label, whose clock keeps running."""

    def __init__(self, progressBar, statusLabel) -> None:
        import qt

        self._bar = progressBar
        self._label = statusLabel
        self._timer = qt.QTimer()
        self._timer.setInterval(500)
        self._timer.connect("timeout()", self._refresh)
        self._text = ""
        self._started = 0.0
        self._end: Optional[float] = None
        self._bar.visible = False

    @property
    def elapsed(self) -> float:
        """Time since `begin`, in seconds."""
        return time.monotonic() - self._started

    def begin(self) -> None:
        """Show at once that the run is starting: the child needs seconds for its first message."""
        self._started = time.monotonic()
        self._end = None
        self._text = _("Starting")
        self._bar.value = 0
        self._bar.visible = True
        self._timer.start()
        self._refresh()

    def update(self, message: dict) -> None:
        """Show a progress message of the engine."""
        self._bar.value = int(100 * message.get("fraction", 0))
        self._text = _STAGES.get(message.get("stage"), lambda: message.get("stage", ""))()
        if message.get("message"):
            self._text += ": " + message["message"]
        remaining = message.get("remaining")
        self._end = None if remaining is None else time.monotonic() + remaining
        self._refresh()

    def end(self, text: str) -> None:
        """Hide the bar, and show how the run ended."""
        self._timer.stop()
        self._bar.visible = False
        self._label.text = text

    def say(self, text: str) -> None:
        """Show another text in place of the stage, until the next message."""
        self._text, self._end = text, None
        self._refresh()

    def _refresh(self) -> None:
        parts = [self._text, _("{time} elapsed").format(time=clock(self.elapsed))]
        if self._end is not None:
            parts.append(_("about {time} left").format(time=clock(max(self._end - time.monotonic(), 0))))
        self._label.text = " · ".join(parts)


def clock(seconds: float) -> str:
    """Return a duration as minutes and seconds.

    >>> clock(67)
    '1:07'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


# Functions, because a text is translated when it is shown.
_STAGES = {
    "reading": lambda: _("Reading"),
    "adaptation": lambda: _("Adaptation"),
    "interpolation": lambda: _("Interpolation"),
    "writing": lambda: _("Writing"),
}
