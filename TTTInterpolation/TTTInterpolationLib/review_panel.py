"""The part of the panel that shows a result: playback, acquired or synthetic, side by side, and the adaptation."""

from __future__ import annotations

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from . import browsing, review, sequences


class ReviewPanel(VTKObservationMixin):
    """Shows the frames that are the output of a parameter node.

    Parameters
    ----------
    ui : object
        The panel's widgets, by name.
    """

    def __init__(self, ui) -> None:
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self._frames = None
        self._browser = None
        # The toolbar has the same keys for the frames. Qt obeys neither of two widgets of a window with one key.
        for shortcut in slicer.util.findChildren(ui.playWidget, className="QShortcut"):
            shortcut.enabled = False
        ui.sideBySideButton.connect("clicked(bool)", self.onSideBySideButton)
        ui.lossButton.connect("clicked(bool)", self.onLossButton)

    def refresh(self, frames) -> None:
        """Show a sequence of frames, or that there is none."""
        self._frames = frames
        browser = frames and browsing.browserOf(frames)
        for widget in (self._ui.playWidget, self._ui.seekWidget):
            widget.setMRMLSequenceBrowserNode(browser)
            widget.enabled = bool(browser)
        self._ui.sideBySideButton.enabled = bool(browser and browsing.acquiredPhaseOf(frames))
        self._ui.lossButton.enabled = bool(frames and sequences.heldOutLossesOf(frames))
        self.follow(browser)
        self._refreshMark()

    def follow(self, browser) -> None:
        """Observe which frame a browser shows; None to observe none."""
        if browser is self._browser:
            return
        if self._browser:
            self.removeObserver(self._browser, vtk.vtkCommand.ModifiedEvent, self._refreshMark)
        self._browser = browser
        if browser:
            self.addObserver(browser, vtk.vtkCommand.ModifiedEvent, self._refreshMark)

    def _refreshMark(self, caller=None, event=None) -> None:
        mark = browsing.shownMark(self._frames) if self._browser else ""
        self._ui.frameLabel.text = {
            sequences.ACQUIRED: _("This frame is acquired: it was measured."),
            sequences.SYNTHETIC: _("This frame is synthetic: it was computed, not measured."),
        }.get(mark, "")

    def onSideBySideButton(self, checked=False) -> None:
        """Show an acquired phase beside the frames."""
        with slicer.util.tryWithErrorDisplay(_("The views could not be arranged."), waitCursor=False):
            review.showSideBySide(self._frames)

    def onLossButton(self, checked=False) -> None:
        """Show what the adaptation did to the auxiliary loss."""
        with slicer.util.tryWithErrorDisplay(_("The plot could not be shown."), waitCursor=False):
            review.showLosses(self._frames)
