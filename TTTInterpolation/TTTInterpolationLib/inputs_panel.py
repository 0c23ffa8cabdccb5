"""The part of the panel where images are chosen: which controls an axis needs, and what is known of the slices."""

from __future__ import annotations

from slicer.i18n import tr as _

from ttt4d.errors import UserError

from . import segmentations, volumes
from .chosen_runs import inputsOf
from .parameters import FillBetween, InputKind, sliceSettingsOf
from .slices_transfer import checkGrid
from .text_controls import NodeChoice


class InputsPanel:
    """Shows the controls that the choices of a parameter node need, and hides the others.

    Parameters
    ----------
    ui : object
        The panel's widgets, by name.

    Attributes
    ----------
    controls : dict
        The controls that are not bound to the parameter node by Slicer, by the name of the parameter.
    """

    def __init__(self, ui) -> None:
        self._ui = ui
        self._parameterNode = None
        ui.swapButton.connect("clicked(bool)", self.onSwapButton)
        self.controls = {"thick": NodeChoice(ui.thickSelector, self.onThickChosen)}

    def refresh(self, parameterNode) -> None:
        """Show the controls for the choices of a parameter node; None for none."""
        self._parameterNode = node = parameterNode
        if node is None:
            return
        ui, axis = self._ui, node.fillBetween
        phases, slices = axis is not FillBetween.slices, axis is not FillBetween.phases
        sequence = phases and node.inputKind is InputKind.sequence
        pair = phases and not sequence
        one = slices and not phases
        thickSequence = one and node.thick is not None and node.thick.IsA("vtkMRMLSequenceNode")
        for visible, widgets in (
                (phases, (ui.inputKindComboBox, ui.framesLabel, ui.framesSpinBox, ui.timesLabel,
                          ui.timesLineEdit, ui.displacementLabel, ui.displacementSelector, ui.phasesAdaptationBox,
                          ui.learningRateLabel, ui.learningRateSpinBox, ui.canvasLabel, ui.canvasSpinBox)),
                (pair, (ui.phase0Label, ui.phase0Selector, ui.phase1Label, ui.phase1Selector, ui.swapButton)),
                (sequence, (ui.sequenceLabel, ui.sequenceSelector, ui.cyclicCheckBox)),
                (one, (ui.thickLabel, ui.thickSelector, ui.segmentationLabel, ui.segmentationSelector)),
                (slices, (ui.factorLabel, ui.factorSpinBox, ui.spacingLabel, ui.spacingSpinBox, ui.slicesLabel,
                          ui.slicesComboBox, ui.slicesHintLabel, ui.slicesAdaptationBox, ui.slicesLearningRateLabel,
                          ui.slicesLearningRateSpinBox, ui.thicknessLabel, ui.thicknessSpinBox, ui.axisLabel,
                          ui.axisComboBox, ui.forceCheckBox)),
                (phases or thickSequence, (ui.outputLabel, ui.outputSelector)),
                (one and not thickSequence, (ui.outputVolumeLabel, ui.outputVolumeSelector))):
            for widget in widgets:
                widget.visible = visible
        ui.framesSpinBox.enabled = not node.output.times.strip()
        ui.factorSpinBox.enabled = not node.betweenSlices.spacing
        ui.thicknessSpinBox.enabled = node.betweenSlices.slices.value != "gap"
        ui.slicesSchemeComboBox.enabled = thickSequence
        ui.slicesHintLabel.text, ui.slicesHintLabel.toolTip = slicesHint(node) if slices else ("", "")

    def onSwapButton(self, checked=False) -> None:
        """Exchange the two phases."""
        node = self._parameterNode
        node.phase0, node.phase1 = node.phase1, node.phase0

    def onThickChosen(self, volume) -> None:
        """Take a volume or a sequence, or None, and offer the segmentation that was drawn on it."""
        node = self._parameterNode
        # Where the parameter node has this volume already, it is shown, not chosen.
        if node is None or node.thick is volume:
            return
        node.thick = volume
        if volume is not None and node.thickSegmentation is None:
            node.thickSegmentation = segmentations.drawnOn(volume)


def slicesHint(parameterNode) -> tuple[str, str]:
    """Return what is known of the chosen slices and how many there will be, in short and as a sentence."""
    try:
        volume = inputsOf(parameterNode).phases[0]
        settings = sliceSettingsOf(parameterNode)
        new = checkGrid(volume, settings)
    except UserError:  # the Apply button says why
        return "", ""
    from ttt4d.through_plane.grid import slice_axis  # needs NumPy, without which Slicer starts

    geometry = volumes.geometryOf(volume)
    axis = slice_axis(geometry, settings.axis)
    old, spacing = geometry.shape[axis], geometry.spacing[axis]
    thickness = volumes.sliceThicknessOf(volume, settings.axis)
    if thickness is None:
        short, told = _("thickness not told"), _("the header does not say how thick")
    else:
        short = _("{thickness:.3g} mm thick (header)").format(thickness=thickness)
        told = _("{thickness:.3g} mm thick, as the header says").format(thickness=thickness)
    return (_("{old} to {new} slices, {told}").format(old=old, new=new, told=short),
            _("{old} slices, {spacing:.3g} mm apart, {told}. The result has {new} slices, {wanted:.3g} mm "
              "apart.").format(old=old, spacing=spacing, told=told, new=new, wanted=spacing * (old - 1) / (new - 1)))
