"""Progress as a bar and a line of text: stage, what it is doing, time gone and time left."""

from __future__ import annotations

import time
from typing import Optional

from slicer.i18n import tr as _


class ProgressView:
    """Turns the engine's progress messages into a progress bar and a status label, and keeps their clock running."""

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
        return time.monotonic() - self._started

    def begin(self) -> None:
        """The child takes seconds to say its first word: that it is starting is shown at once."""
        self._started = time.monotonic()
        self._end = None
        self._text = _("Starting")
        self._bar.value = 0
        self._bar.visible = True
        self._timer.start()
        self._refresh()

    def update(self, message: dict) -> None:
        """A progress message of the engine."""
        self._bar.value = int(100 * message.get("fraction", 0))
        self._text = _STAGES.get(message.get("stage"), lambda: message.get("stage", ""))()
        if message.get("message"):
            self._text += ": " + message["message"]
        remaining = message.get("remaining")
        self._end = None if remaining is None else time.monotonic() + remaining
        self._refresh()

    def end(self, text: str) -> None:
        self._timer.stop()
        self._bar.visible = False
        self._label.text = text

    def say(self, text: str) -> None:
        """Another text in place of the stage, until the next message."""
        self._text, self._end = text, None
        self._refresh()

    def _refresh(self) -> None:
        parts = [self._text, _("{time} elapsed").format(time=clock(self.elapsed))]
        if self._end is not None:
            parts.append(_("about {time} left").format(time=clock(max(self._end - time.monotonic(), 0))))
        self._label.text = " · ".join(parts)


def clock(seconds: float) -> str:
    """
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
