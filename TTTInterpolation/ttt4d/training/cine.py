"""Batches from acquired sequences, from which the `cardiac` weights learn: two phases and an acquired frame between."""

from __future__ import annotations

import math
from typing import List, Tuple

import torch
from torch import Generator, Tensor

from ..errors import SettingsError
from .augmentation import augment_appearance, deform, integer, random_flip, random_gamma, uniform
from .batches import TrainingBatch
from .cache import CineSequence


def draw_phases(sequence: CineSequence, ed_to_es: float, generator: Generator) -> Tuple[int, int]:
    """Draw the two phases of a training pair.

    Parameters
    ----------
    sequence : CineSequence
        The frames of one cycle.
    ed_to_es : float
        Probability that the pair is ED to ES, as at deployment. Of the rest, 22 % are ES to the next ED; the others
        are any interval of at most half a cycle.
    generator : Generator
        Source of every random number.

    Returns
    -------
    tuple of int
        The frame number of phase 0, and the number of frames from there to phase 1, at least 2.
    """
    count = len(sequence.frames)
    kind = uniform(0, 1, generator)
    if kind < ed_to_es and sequence.es - sequence.ed > 1:
        start, length = sequence.ed, sequence.es - sequence.ed
    elif kind < ed_to_es + 0.22 * (1 - ed_to_es) and (sequence.ed - sequence.es) % count > 1:
        start, length = sequence.es, (sequence.ed - sequence.es) % count
    else:
        start, length = integer(0, count - 1, generator), integer(2, max(2, count // 2), generator)
    return start % count, length


def phases_and_truth(sequence: CineSequence, start: int, length: int, step: int) -> Tensor:
    """Return the two phases and the true frame between them, on two intensity ranges.

    Parameters
    ----------
    sequence : CineSequence
        The frames of one cycle; numbers beyond its end count from its start again.
    start, length : int
        Frame number of phase 0, and the number of frames from there to phase 1.
    step : int
        The number of frames from phase 0 to the true frame, less than `length`.

    Returns
    -------
    Tensor of shape (4, k, j, i)
        Phase 0; phase 1; the true frame on the range interpolated between the two phases; the same frame in [0, 1] by
        its own range. See `TrainingBatch`.
    """
    chosen = [(start + n) % len(sequence.frames) for n in (0, length, step)]
    phase0, phase1, own = sequence.frames[chosen].float() / 255
    low, high = sequence.ranges[chosen].T
    truth = low[2] + (high[2] - low[2]) * own
    on0, on1 = ((truth - low[n]) / (high[n] - low[n]) for n in (0, 1))
    return torch.stack([phase0, phase1, torch.lerp(on0, on1, step / length), own])


class CineSampler:
    """Draw batches of augmented crops from cine sequences.

    Crops are rotated, flipped, scaled and deformed, and their contrast changes; some batches imitate another scanner.

    Parameters
    ----------
    sequences : list of CineSequence
        The patients to draw from.
    crop : int
        Edge of a crop within the slice, in voxels.
    batch : int
        Pairs in a batch.

    Raises
    ------
    SettingsError
        If the crop is larger than the smallest image.
    """

    # Probability that a pair is ED to ES, and that a batch imitates another scanner.
    ED_TO_ES = 0.55
    OTHER_SCANNER = 0.3

    def __init__(self, sequences: List[CineSequence], crop: int = 65, batch: int = 4) -> None:
        smallest = min(min(sequence.frames.shape[2:]) for sequence in sequences)
        if crop > smallest:
            raise SettingsError(f"A crop of {crop} does not lie in the smallest image ({smallest} voxels): choose a "
                                "smaller one.")
        self.sequences, self.crop, self.batch = sequences, crop, batch

    def draw(self, generator: Generator) -> TrainingBatch:
        """Draw a batch; each pair comes from a patient drawn at random."""
        depth = 7 if uniform(0, 1, generator) < 0.8 else 5
        deep = [s for s in self.sequences if s.frames.shape[1] >= depth]
        sequences = self._batchable(deep or self.sequences, generator)
        depth = min(depth, min(s.frames.shape[1] for s in sequences))
        pairs, times = [], []
        for _ in range(self.batch):
            sequence = sequences[integer(0, len(sequences) - 1, generator)]
            start, length = draw_phases(sequence, self.ED_TO_ES, generator)
            step = integer(1, length - 1, generator)
            times.append(step / length)
            pairs.append(self._augmented(phases_and_truth(sequence, start, length, step), depth, generator))
        phase0, phase1, truth, unit_truth = torch.stack(pairs)[:, :, None].unbind(1)
        upright = sequence.frames[[start, (start + length) % len(sequence.frames)]].float() / 255
        batch = TrainingBatch(phase0, phase1, truth, unit_truth, torch.tensor(times),
                              self._random_crop(upright, depth, generator)[:, None])
        return augment_appearance(batch, self.OTHER_SCANNER, generator)

    def _batchable(self, sequences: List[CineSequence], generator: Generator) -> List[CineSequence]:
        """Return those sequences that can share a batch; crops of all of them can."""
        return sequences

    def _augmented(self, frames: Tensor, depth: int, generator: Generator) -> Tensor:
        """Turn frames (n, k, j, i) in [0, 1] into an augmented crop (n, depth, crop, crop)."""
        if uniform(0, 1, generator) < 0.65:
            crop = self._deformed_crop(frames, depth, generator)
        else:
            crop = self._random_crop(frames, depth, generator)
        crop = random_flip(crop, (1, 2, 3), generator)
        if uniform(0, 1, generator) < 0.5:
            crop = crop.transpose(2, 3)
        return random_gamma(crop, generator)

    def _random_crop(self, frames: Tensor, depth: int, generator: Generator) -> Tensor:
        """Cut a box (n, depth, crop, crop) from anywhere inside frames (n, k, j, i)."""
        k, j, i = (integer(0, max(n - c, 0), generator)
                   for n, c in zip(frames.shape[1:], (depth, self.crop, self.crop)))
        return frames[:, k:k + depth, j:j + self.crop, i:i + self.crop]

    def _deformed_crop(self, frames: Tensor, depth: int, generator: Generator) -> Tensor:
        """Cut a crop at any angle within the slices, up to a fifth larger or smaller, and deform it."""
        first = integer(0, frames.shape[1] - depth, generator)
        angle, scale = uniform(-math.pi, math.pi, generator), math.exp(uniform(-0.18, 0.18, generator))
        # The centre of the crop stays so far inside that little of the crop lies beyond the edge of the image.
        max_offset = [max((n - 1) / 2 - (self.crop - 1) / 2 * scale, 0) + 4 for n in frames.shape[2:]]
        return deform(frames[:, first:first + depth], (self.crop, self.crop), max_offset, angle, scale, generator)
