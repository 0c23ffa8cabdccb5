"""The part of the panel that saves films, models and DICOM series of a result."""

from __future__ import annotations

from typing import Callable

import qt
import slicer
from slicer.i18n import tr as _

from . import browsing, exports, films
from .text_controls import TextChoice

VIEW, MODEL_FORMAT = "export.view", "export.modelFormat"


class ExportPanel:
    """Saves what the user chooses of the frames.

    Parameters
    ----------
    ui : object
        The panel's widgets, by name.
    onChosen : callable
        Called with the name of a parameter and the value that the user has chosen for it.

    Attributes
    ----------
    controls : dict
        The controls that are not bound to the parameter node by Slicer, by the name of the parameter.
    """

    def __init__(self, ui, onChosen: Callable[[str, str], None]) -> None:
        self._ui = ui
        self._parameterNode = None
        self.controls = {VIEW: TextChoice(ui.filmViewComboBox, lambda value: onChosen(VIEW, value)),
                         MODEL_FORMAT: TextChoice(ui.modelFormatComboBox, lambda value: onChosen(MODEL_FORMAT, value))}
        self.controls[VIEW].offer((name, name) for name in films.VIEWS)
        self.controls[MODEL_FORMAT].offer((name, name.upper()) for name in exports.MODEL_FORMATS)
        for button, slot in ((ui.saveFilmButton, self.onSaveFilmButton), (ui.saveModelsButton, self.onSaveModelsButton),
                             (ui.saveDicomButton, self.onSaveDicomButton)):
            button.connect("clicked(bool)", slot)

    def refresh(self, parameterNode) -> None:
        """Show what can be saved of the result of a parameter node."""
        self._parameterNode = parameterNode
        frames = parameterNode.outputSequence
        hasFrames = bool(frames and frames.GetNumberOfDataNodes() and browsing.browserOf(frames))
        self._ui.saveFilmButton.enabled = self._ui.saveDicomButton.enabled = hasFrames
        self._ui.saveModelsButton.enabled = bool(hasFrames and exports.modelSequencesOf(frames))

    def onSaveFilmButton(self, checked=False) -> None:
        """Save a film of the chosen view."""
        node = self._parameterNode
        path = qt.QFileDialog.getSaveFileName(self._ui.saveFilmButton, _("Film"), "film.gif",
                                              _("Films (*.gif *.mp4)"))
        if path:
            with slicer.util.tryWithErrorDisplay(_("The film could not be saved."), waitCursor=True):
                count = films.save(node.outputSequence, path, node.export.view)
                self._say(_("{n} pictures saved, each with its mark.").format(n=count))

    def onSaveModelsButton(self, checked=False) -> None:
        """Save the carried models of each frame."""
        node = self._parameterNode
        folder = qt.QFileDialog.getExistingDirectory(self._ui.saveModelsButton, _("Folder of the models"))
        if folder:
            with slicer.util.tryWithErrorDisplay(_("The models could not be saved."), waitCursor=True):
                paths = exports.saveModels(exports.modelSequencesOf(node.outputSequence), folder,
                                           node.export.modelFormat)
                self._say(_("{n} models saved; their names say which are synthetic.").format(n=len(paths)))

    def onSaveDicomButton(self, checked=False) -> None:
        """Save the frames as a DICOM series."""
        path = qt.QFileDialog.getSaveFileName(self._ui.saveDicomButton, _("Folder of the DICOM series"), "frames.dcm",
                                              _("DICOM series (*.dcm)"))
        if path:
            with slicer.util.tryWithErrorDisplay(_("The DICOM series could not be saved."), waitCursor=True):
                messages = exports.saveDicom(self._parameterNode.outputSequence, path)
                self._say(" ".join([_("A derived series saved; each image says whether it is synthetic."), *messages]))

    def _say(self, text: str) -> None:
        self._ui.statusLabel.text = text
