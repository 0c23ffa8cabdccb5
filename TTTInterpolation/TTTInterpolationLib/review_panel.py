"""The part of the panel that shows a result: playback, acquired or synthetic, side by side, and the adaptation."""

from __future__ import annotations

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from . import browsing, review, sequences
from .view_marks import ViewMarks, markText


class ReviewPanel(VTKObservationMixin):
    """Shows the frames or the volume that is the result of a parameter node.

    Parameters
    ----------
    ui : object
        The panel's widgets, by name.
    """

    def __init__(self, ui) -> None:
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self._result = None
        self._browser = None
        self._viewMarks = ViewMarks()
        # The toolbar has the same keys for the frames. Qt obeys neither of two widgets of a window with one key.
        for shortcut in slicer.util.findChildren(ui.playWidget, className="QShortcut"):
            shortcut.enabled = False
        ui.sideBySideButton.connect("clicked(bool)", self.onSideBySideButton)
        ui.lossButton.connect("clicked(bool)", self.onLossButton)

    def refresh(self, result) -> None:
        """Show a sequence of frames or a volume, or that there is none."""
        self._result = result
        browser = result and browsing.browserOf(result)
        for widget in (self._ui.playWidget, self._ui.seekWidget):
            widget.setMRMLSequenceBrowserNode(browser)
            widget.enabled = bool(browser)
            widget.visible = not result or result.IsA("vtkMRMLSequenceNode")
        shown = result and browsing.shownVolumeOf(result)
        self._ui.sideBySideButton.enabled = bool(shown and browsing.acquiredPhaseOf(result))
        self._ui.lossButton.enabled = bool(result and sequences.heldOutLossesOf(result))
        self._follow(browser)
        self._refreshMark()

    def release(self) -> None:
        """Observe no browser. The marks in the views stay: another module may show a result too."""
        self._follow(None)

    def stop(self) -> None:
        """Take the marks out of the views."""
        self._viewMarks.remove()

    def _follow(self, browser) -> None:
        if browser is self._browser:
            return
        if self._browser:
            self.removeObserver(self._browser, vtk.vtkCommand.ModifiedEvent, self._refreshMark)
        self._browser = browser
        if browser:
            self.addObserver(browser, vtk.vtkCommand.ModifiedEvent, self._refreshMark)

    def _refreshMark(self, caller=None, event=None) -> None:
        shown = self._result and browsing.shownVolumeOf(self._result)
        self._ui.frameLabel.text = markText(shown) if shown else ""
        self._viewMarks.refresh()

    def onSideBySideButton(self, checked=False) -> None:
        """Show what was acquired beside the result."""
        with slicer.util.tryWithErrorDisplay(_("The views could not be arranged."), waitCursor=False):
            review.showSideBySide(self._result)

    def onLossButton(self, checked=False) -> None:
        """Show what the adaptation did to the auxiliary loss."""
        with slicer.util.tryWithErrorDisplay(_("The plot could not be shown."), waitCursor=False):
            review.showLosses(self._result)
