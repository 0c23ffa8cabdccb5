"""From image planes to phases: which planes form one volume, which volumes form a sequence, and in which order.

Nothing is taken from the order of files or frames. Planes are ordered by their places along the normal, phases by what
their headers tell of time; what fits neither is refused with a sentence that says what is there.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple

import numpy as np

from ...errors import InputError
from ..phase_times import natural_key, strictly_increasing, times_in_names
from ..volume import Geometry, rectangular_geometry
from .dicom_headers import CLOCKS, Clock, Plane, varying_contrasts

_SAME_DIRECTION = 2e-3  # difference between components of unit vectors, as three decimals leave it
_UNEVEN = 0.1  # of the slice spacing: what rounding to 0.1 mm does to slices 0.6 mm apart
_LARGEST_GAP = 4.5  # times the smallest distance of slices: beyond that they are not of one stack
_WORTH_SAYING = 0.01  # of the slice spacing
_ROUNDED = 0.2  # mm sideways, from positions rounded to 0.1 mm
_SAME_PLACE = 0.1  # of the slice spacing: headers round, and tables do not stop at the same hair
_SAME_PLACE_MM, _SAME_PLACE_WITHOUT_THICKNESS = 0.2, 0.5  # where one gap between stacks hides the slice spacing
_FEW = 3  # planes of another grid beside a sequence, as of a localizer that does not say so


@dataclass(frozen=True)
class Arrangement:
    """Planes in order: a list of planes for each phase, from one end of the stack to the other.

    Parameters
    ----------
    stacks : list of list of Plane
        The planes of each phase, in order of time.
    index, name, unit
        As in `PhaseSequence`.
    """

    stacks: List[List[Plane]]
    index: Tuple[float, ...] = (0.0,)
    name: str = "frame"
    unit: str = ""


def arrange(planes: Sequence[Plane], root: str, name: str, messages: List[str]) -> Arrangement:
    """Return the phases that the planes form.

    Parameters
    ----------
    planes : sequence of Plane
        In any order, without copies.
    root : str
        The folder that was asked for.
    name : str
        Its name in messages, in quotes.
    messages : list of str
        What is assumed is appended.

    Raises
    ------
    InputError
        For planes that are not one stack or an even set of phases.
    """
    planes = _of_one_grid(_wanted(planes, name, messages), name, messages)
    patients = _told(planes, "PatientID")
    if len(patients) > 1:
        raise InputError(f"{name} holds images of {len(patients)} patients (Patient ID): put those of one patient in a "
                         "folder of their own.")
    several = len({plane.series for plane in planes}) > 1
    if _one_grid(planes) and not several and _distinct(places := _places(planes)):
        return Arrangement([_in_order(planes, places)])
    for clock in CLOCKS:
        if clock.name == "acquisition time":  # says least: how a user has sorted the files says more
            found = _by_folder(planes, root)
            if found:
                return found
        if _one_grid(planes):
            found = _by_clock(planes, clock, name, messages)
            if found:
                return found
    raise InputError(_what_is_there(planes, name))


def without_copies(planes: Sequence[Plane], voxels: Callable[[Plane], np.ndarray], name: str,
                   messages: List[str]) -> List[Plane]:
    """Return the planes without those that are there twice: equal headers and equal voxels.

    voxels: gives the stored values of a plane; called only for planes whose headers agree.
    """
    alike: Dict[Tuple, List[int]] = defaultdict(list)
    for number, plane in enumerate(planes):
        place = None if plane.position is None else tuple(plane.position.tolist())
        alike[plane.series, plane.shape, place, tuple(plane.orientation.ravel().tolist()),
              tuple(sorted(plane.times.items())), tuple(plane.contrasts.values())].append(number)
    copies: Dict[int, Plane] = {}  # by the number of the copy: the plane that it is a copy of
    blank = set()
    for group in alike.values():
        seen: List[Tuple[np.ndarray, Plane]] = []
        for number in group if len(group) > 1 else ():
            stored = voxels(planes[number])
            if stored.min() == stored.max():
                blank.add(number)
            first = next((plane for other, plane in seen if np.array_equal(stored, other)), None)
            if first is None:
                seen.append((stored, planes[number]))
            else:
                copies[number] = first
    # Empty slices at the ends of two phases are equal too. In another folder they are copies where others are.
    copied = {_folder(planes[number]) for number in copies if number not in blank}
    copies = {number: first for number, first in copies.items()
              if number not in blank or _folder(planes[number]) in {_folder(first), *copied}}
    kept = [plane for number, plane in enumerate(planes) if number not in copies]
    if len(kept) < len(planes):
        messages.append(f"{len(planes) - len(kept)} images in {name} are there twice with equal voxels: each is used "
                        "once.")
    return kept


def _folder(plane: Plane) -> str:
    return os.path.dirname(plane.file)


def stack_geometry(planes: Sequence[Plane], name: str, messages: List[str]) -> Geometry:
    """Return the grid of planes in order, once they are known to lie side by side.

    Where they are not evenly spaced, `uneven_positions` tells where they are on this grid.

    Raises
    ------
    InputError, GeometryError
        For slices that are not of one stack or not stacked at right angles.
    """
    first = planes[0]
    positions = np.array([np.zeros(3) if plane.position is None else plane.position for plane in planes])
    normal = np.cross(*first.orientation)
    normal /= np.linalg.norm(normal)
    if len(planes) == 1:
        thickness = first.thickness
        if thickness is None:
            thickness = 1.0
            messages.append(f"{name} does not tell the thickness of its slice: taken for 1 mm.")
        step = thickness * normal
    else:
        step = _step(positions, normal, name, messages)
    matrix = np.column_stack([step, first.orientation[1] * first.spacing[0], first.orientation[0] * first.spacing[1]])
    geometry, message = rectangular_geometry(name, (len(planes), *first.shape), matrix, positions[0])
    if message:
        messages.append(message)
    return geometry


def uneven_positions(planes: Sequence[Plane]) -> Optional[Tuple[float, ...]]:
    """Return where the planes of a stack lie, in mm from the first; None where they are evenly spaced."""
    if len(planes) < 3 or planes[0].position is None:
        return None
    normal = np.cross(*planes[0].orientation)
    heights = np.array([plane.position for plane in planes]) @ (normal / np.linalg.norm(normal))
    spacing = (heights[-1] - heights[0]) / (len(heights) - 1)
    return tuple((heights - heights[0]).tolist()) if _unevenness(heights) > _UNEVEN * spacing else None


def _unevenness(heights: np.ndarray) -> float:
    """Return by how many mm slices are off the even grid that fits them best."""
    numbers = np.arange(len(heights))
    return float(np.abs(heights - np.polyval(np.polyfit(numbers, heights, 1), numbers)).max())


def _step(positions: np.ndarray, normal: np.ndarray, name: str, messages: List[str]) -> np.ndarray:
    """Return the mean step in LPS mm from slice to slice."""
    count = len(positions)
    heights = positions @ normal
    spacing = (heights[-1] - heights[0]) / (count - 1)
    uneven = _unevenness(heights)
    sideways = positions - positions[0] - np.outer(heights - heights[0], normal)
    aside = np.linalg.norm(sideways, axis=1).max()
    if uneven > _UNEVEN * spacing:
        steps = np.diff(heights)
        if aside > _ROUNDED or steps.max() > _LARGEST_GAP * steps.min():
            raise InputError(f"The slices of {name} are not of one stack (distances from {steps.min():.4g} to "
                             f"{steps.max():.4g} mm): put the slices of one stack in a folder of their own.")
        return spacing * normal
    if aside > min(_ROUNDED, 0.25 * spacing):  # more than rounding does: a tilted gantry
        along = (heights - heights[0]) / (heights[-1] - heights[0])
        off_line = np.linalg.norm(sideways - np.outer(along, sideways[-1]), axis=1).max()
        if off_line > max(_ROUNDED, _UNEVEN * spacing):
            raise InputError(f"The slices of {name} are not of one stack (up to {off_line:.4g} mm sideways of the line "
                             "through the first and the last): put the slices of one stack in a folder of their own.")
        return (positions[-1] - positions[0]) / (count - 1)
    off = max(uneven, aside)
    if off > _WORTH_SAYING * spacing:
        messages.append(f"The slices of {name} lie up to {off:.2g} mm ({off / spacing:.0%} of their spacing) off an "
                        "even grid, as rounded positions do: read as evenly spaced.")
    return spacing * normal


# -- what belongs together ---------------------------------------------------------------------------------------------


def _told(planes: Sequence[Plane], keyword: str) -> Set[str]:
    """Return the different values that the headers of planes have for an element; empty ones do not count."""
    return {str(plane.header.get(keyword) or "") for plane in planes} - {""}


def _wanted(planes: Sequence[Plane], name: str, messages: List[str]) -> List[Plane]:
    """Return the planes without localizers and without results of this program, where there are others beside."""
    for unwanted, words in ((lambda plane: plane.is_localizer, "are localizers"),
                            (lambda plane: plane.mark, "are results of this program")):
        kept = [plane for plane in planes if not unwanted(plane)]
        if kept and len(kept) < len(planes):
            messages.append(f"{len(planes) - len(kept)} images in {name} {words}: left out.")
            planes = kept
    return list(planes)


def _of_one_grid(planes: List[Plane], name: str, messages: List[str]) -> List[Plane]:
    """Return the planes without a few of another size or orientation beside many."""
    grids: List[List[Plane]] = []
    for plane in planes:
        grid = next((grid for grid in grids if _same_grid(grid[0], plane)), None)
        if grid is None:
            grids.append([plane])
        else:
            grid.append(plane)
    grids.sort(key=len, reverse=True)
    main, others = grids[0], [plane for grid in grids[1:] for plane in grid]
    apart = not {plane.series for plane in main} & {plane.series for plane in others}
    if others and apart and len(main) > _FEW >= max(map(len, grids[1:])):
        messages.append(f"{len(others)} images in {name} have another size or orientation than the {len(main)} others: "
                        "left out.")
        return main
    return planes


def _same_grid(one: Plane, other: Plane) -> bool:
    return (one.shape == other.shape and np.allclose(one.spacing, other.spacing, rtol=1e-3)
            and np.abs(one.orientation - other.orientation).max() <= _SAME_DIRECTION)


def _one_grid(planes: Sequence[Plane]) -> bool:
    return all(_same_grid(planes[0], plane) for plane in planes)


def _places(planes: Sequence[Plane]) -> List[int]:
    """Return the number of each plane's place, counted along the normal of the first plane."""
    normal = np.cross(*planes[0].orientation)
    heights = np.array([0.0 if plane.position is None else plane.position @ normal for plane in planes])
    order = np.argsort(heights, kind="stable")
    heights = heights[order]
    gaps = np.diff(heights)
    thickness = min((plane.thickness for plane in planes if plane.thickness is not None), default=None)
    most = _SAME_PLACE_WITHOUT_THICKNESS if thickness is None else max(_SAME_PLACE * thickness, _SAME_PLACE_MM)
    near = max(1e-3, min(_SAME_PLACE * gaps.max(initial=0.0), most))
    numbers = _numbered(gaps > near)
    first, last = (np.searchsorted(numbers, numbers, side) for side in ("left", "right"))
    if (heights[last - 1] - heights[first]).max() > near:  # slices in a row, and not one place
        numbers = _numbered(gaps > 1e-3)
    places = np.empty(len(planes), dtype=int)
    places[order] = numbers
    return places.tolist()


def _numbered(new: np.ndarray) -> np.ndarray:
    """Return the number of each plane's place, counted from 0, where it is told which gaps lead to a new one."""
    return np.concatenate([[0], np.cumsum(new)])


def _distinct(places: Sequence[int]) -> bool:
    return len(set(places)) == len(places)


def _in_order(planes: Sequence[Plane], places: Sequence[int]) -> List[Plane]:
    return [plane for _, plane in sorted(zip(places, planes), key=lambda pair: pair[0])]


# -- order in time -----------------------------------------------------------------------------------------------------


def _by_clock(planes: List[Plane], clock: Clock, name: str, messages: List[str]) -> Optional[Arrangement]:
    """Return the phases in the order that a clock tells, or None where it does not tell them apart."""
    timed = [plane for plane in planes if clock.name in plane.times]
    untimed = {plane.series for plane in planes} - {plane.series for plane in timed}
    left_out = [plane for plane in planes if plane.series in untimed]
    if not timed or len(timed) + len(left_out) < len(planes) or (left_out and not clock.explicit):
        return None
    if clock.name == "acquisition time" and len(_told(timed, "FrameOfReferenceUID")) > 1:  # scans of different days
        return None
    places = _places(timed)
    contrasts = varying_contrasts([plane for plane, place in zip(timed, places) if place == places[0]])
    diffusion = any("DIFFUSION" in str(plane.contrasts["image types"]) for plane in timed)
    if not clock.explicit and (contrasts or diffusion or timed[0].position is None):
        return None
    stacks = _by_value(timed, places, clock) or ([] if clock.explicit else _by_rank(timed, places, clock))
    if not stacks:
        return None
    if left_out:
        messages.append(f"{len(left_out)} images in {name} tell no {clock.name}, which the others do: left out.")
    if clock.described:
        messages.append(f"The numbers in the descriptions of {name} are taken for its phases.")
    contrasts = [words for words in contrasts if "description" not in words]
    if contrasts:
        messages.append(f"The phases of {name} differ in more than time ({', '.join(contrasts)}).")
    return Arrangement(stacks, *_index(stacks, clock))


def _by_value(planes: Sequence[Plane], places: Sequence[int], clock: Clock) -> List[List[Plane]]:
    """Return the phases where all planes of a phase have one time; an empty list where that does not give phases."""
    groups: Dict[float, List[int]] = defaultdict(list)
    for number, plane in enumerate(planes):
        groups[plane.times[clock.name]].append(number)
    members = [groups[time] for time in sorted(groups)]
    there = [[places[number] for number in group] for group in members]
    series = [{planes[number].series for number in group} for group in members]
    own_series = all(len(uids) == 1 for uids in series) and len(set.union(*series)) == len(series)
    # A phase covers every place; where each phase is a series, it may also lie on places of its own.
    whole = all(len(group) == (len(there[0]) if own_series else len(set(places))) for group in there)
    if len(groups) < 2 or not whole or not all(map(_distinct, there)):
        return []
    return [_in_order([planes[number] for number in group], at) for group, at in zip(members, there)]


def _by_rank(planes: Sequence[Plane], places: Sequence[int], clock: Clock) -> List[List[Plane]]:
    """Return the phases where each place has its own times, as many at each: the first of each, the second, ..."""
    at_place: Dict[int, List[Plane]] = defaultdict(list)
    for place, plane in sorted(zip(places, planes), key=lambda pair: (pair[0], pair[1].times[clock.name])):
        at_place[place].append(plane)
    counts = {len(group) for group in at_place.values()}
    rising = all(strictly_increasing([plane.times[clock.name] for plane in group]) for group in at_place.values())
    if len(counts) > 1 or counts == {1} or not rising:
        return []
    stacks = [list(stack) for stack in zip(*at_place.values())]
    # Where each series is a whole stack, a phase is one of them: times that mix them were taken place after place.
    whole = all(sorted(there) == sorted(at_place) for there in _places_of_series(planes, places).values())
    mixed = any(len({plane.series for plane in stack}) > 1 for stack in stacks)
    return [] if whole and mixed else stacks


def _places_of_series(planes: Sequence[Plane], places: Sequence[int]) -> Dict[str, List[int]]:
    found: Dict[str, List[int]] = defaultdict(list)
    for plane, place in zip(planes, places):
        found[plane.series].append(place)
    return found


def _index(stacks: Sequence[Sequence[Plane]], order: Clock) -> Tuple[Tuple[float, ...], str, str]:
    """Return the index of the phases, its name and its unit: true times, where some rise from phase to phase."""
    for clock in [clock for clock in (order, *CLOCKS) if clock.unit] + [order]:
        if not all(clock.name in plane.times for stack in stacks for plane in stack):
            continue
        times = np.array([np.median([plane.times[clock.name] for plane in stack]) for stack in stacks])
        if clock.name == "acquisition time":
            times = np.round(times - times[0], 6)
        if strictly_increasing(times.tolist()):
            return tuple(times.tolist()), clock.name, clock.unit
    return tuple(float(number) for number in range(len(stacks))), "frame", ""


def _by_folder(planes: Sequence[Plane], root: str) -> Optional[Arrangement]:
    """Return a phase for each subfolder, in natural order of their names, where each holds one stack of one series."""
    folders: Dict[str, List[Plane]] = defaultdict(list)
    for plane in planes:
        folders[os.path.relpath(_folder(plane), root).split(os.sep)[0]].append(plane)
    if len(folders) < 2 or any(re.fullmatch(r"\d+(\.\d+){4,}", folder) for folder in folders):  # UIDs tell no order
        return None
    stacks, names = [], sorted(folders, key=natural_key)
    for folder in names:
        stack = folders[folder]
        if len({plane.series for plane in stack}) > 1 or not _one_grid(stack) or not _distinct(_places(stack)):
            return None
        stacks.append(_in_order(stack, _places(stack)))
    times, unit = times_in_names(names) or (tuple(float(number) for number in range(len(stacks))), "")
    return Arrangement(stacks, times, "frame", unit)


# -- what is there instead ---------------------------------------------------------------------------------------------


def _what_is_there(planes: Sequence[Plane], name: str) -> str:
    """Return a sentence for planes that are neither one stack nor an even set of phases."""
    series = len({plane.series for plane in planes})
    grids: List[Plane] = []
    for plane in planes:
        if not any(_same_grid(plane, other) for other in grids):
            grids.append(plane)
    if series > 1:
        differ = f" on {len(grids)} grids of different size or orientation" if len(grids) > 1 else ""
        return (f"{name} holds {series} DICOM series{differ}, and their headers do not tell them apart as phases of "
                "one sequence: put the one to be used in a folder of its own.")
    if len(grids) > 1:
        return (f"{name} holds {len(planes)} images of {len(grids)} different sizes or orientations, which do not form "
                "one stack: put the images of one stack in a folder of their own.")
    counts = Counter(_places(planes))
    times = _times_there(planes)
    contrasts = varying_contrasts(planes)
    told = ", ".join([*times, *contrasts]) or "nothing in their headers tells an order in time"
    least, most = min(counts.values()), max(counts.values())
    many = f"{most} at each" if least == most else f"{least} to {most} at a place"
    return (f"{name} holds several images at one place ({len(planes)} images at {len(counts)} places, {many}; {told}), "
            "which do not form an even set of phases: put each phase in a folder of its own.")


def _times_there(planes: Iterable[Plane]) -> List[str]:
    """Return how many times the clocks tell, such as "4 temporal positions"."""
    counts = {clock.name: len({plane.times.get(clock.name) for plane in planes}) for clock in CLOCKS}
    return [f"{count} {name}s" for name, count in counts.items() if count > 1]
