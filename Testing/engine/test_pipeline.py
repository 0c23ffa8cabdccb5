"""From phases to frames: what adaptation changes, what nothing may change, and how a run ends early."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ttt4d
from ttt4d import weights
from ttt4d.devices import mixed_precision
from ttt4d.errors import Cancelled, GeometryError, InputError
from ttt4d.images.intensity import IntensityScale
from ttt4d.images.volume import Geometry, Volume
from ttt4d.motion import warping
from ttt4d.settings import SCHEMES, InterpolationSettings
from ttt4d.temporal import models
from ttt4d.temporal.auxiliary import TASKS
from ttt4d.temporal.canvas import Canvas
from ttt4d.temporal.estimation import TIME_BATCH, time_batches
from ttt4d.temporal.pipeline import Interpolator

linux = pytest.mark.skipif(sys.platform != "linux", reason="what a process may take and has taken is told on Linux")
DTYPES = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64]


@pytest.fixture(scope="module")
def engine(small_weights) -> Interpolator:
    return Interpolator(small_weights, "cpu")


def run(engine, phases, auxiliary="none", frames=1, progress=lambda p: None, cancelled=lambda: False,
        displacements=False, **values):
    """A run with few steps, large enough to show in the frames."""
    adaptation = {"auxiliary": auxiliary, "scheme": values.pop("scheme", "online")}
    if auxiliary != "none":
        adaptation["iterations"] = values.pop("iterations", 2)
        adaptation["learning_rate"] = values.pop("learning_rate", 3e-3)
    chosen = InterpolationSettings.from_json({"frames": frames, **values, "adaptation": adaptation})
    return engine.run(phases, chosen, progress=progress, cancelled=cancelled, displacements=displacements)


def child(program: str, *arguments: str) -> str:
    """What a Python program prints, run in a process of its own that gives freed memory back to the system at once."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True,
        env={"PYTHONPATH": str(Path(ttt4d.__file__).parents[1]), "OMP_NUM_THREADS": "1",
             "MALLOC_MMAP_THRESHOLD_": "65536"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def arrays(result):
    return [frame.array for frame in result.frames]


def equal(one, other) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other))


# -- what adaptation changes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auxiliary", TASKS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_adapting_changes_the_interpolated_frames_and_no_acquired_one(engine, phases, auxiliary, scheme):
    pair = phases(2, dtype=np.float32)
    base, adapted = arrays(run(engine, pair)), arrays(run(engine, pair, auxiliary, scheme=scheme))
    assert np.array_equal(adapted[0], base[0]) and np.array_equal(adapted[2], base[2])
    assert np.abs(adapted[1] - base[1]).max() > 1e-4 * np.ptp(base[1])


def test_adapting_changes_the_motion_too(engine, phases):
    """In the published code only the refinement hears of it."""
    pair = phases()
    fields = [list(run(engine, pair, auxiliary, displacements=True).frames)[1].displacement
              for auxiliary in ("none", "reconstruction")]
    assert np.abs(fields[0] - fields[1]).max() > 1e-5


def test_adapting_leaves_the_base_weights_for_the_next_patient(engine, phases):
    before = {key: value.clone() for key, value in engine.model.network.state_dict().items()}
    heads = {key: value.clone() for key, value in engine.model.tasks["reconstruction"].state_dict().items()}
    arrays(run(engine, phases(), "reconstruction"))
    assert all(torch.equal(before[key], value) for key, value in engine.model.network.state_dict().items())
    assert all(torch.equal(heads[k], value) for k, value in engine.model.tasks["reconstruction"].state_dict().items())


@pytest.mark.parametrize("count", range(1, 12))
def test_times_are_estimated_in_small_groups_and_none_alone_among_several(count):
    times = tuple(n / (count + 1) for n in range(1, count + 1))
    groups = time_batches(times)
    assert sum(groups, ()) == times
    assert all(min(count, 2) <= len(group) <= TIME_BATCH for group in groups)


def test_no_adaptation_gives_the_answer_of_the_base_weights(engine, small_weights, phases):
    """The network on the phases, scaled, and back: nothing else."""
    pair = phases(2, dtype=np.float32)
    network = models.load(small_weights).network
    canvas = Canvas.fit(pair[0].geometry, 3, 10**6)
    assert canvas.inner == canvas.native
    scale = IntensityScale.of(pair)
    own = [canvas.scaled_phase(IntensityScale.of([p]).to_unit(p.array)) for p in pair]
    with mixed_precision(torch.device("cpu"), canvas.padded):
        estimate = network(*own, torch.tensor([0.25]), canvas.strides)
    ranges = [np.ptp(p.array) / (scale.high - scale.low) for p in pair]
    both = [torch.nn.functional.pad(scale.to_unit(p.array), _far(canvas), mode="replicate") for p in pair]
    unit = estimate.blend(*both) + estimate.residual * (0.75 * ranges[0] + 0.25 * ranges[1])
    expected = scale.from_unit(unit[0, 0, :canvas.inner[0], :canvas.inner[1], :canvas.inner[2]])
    frame = arrays(run(engine, pair, times=[0.25]))[1]
    assert np.abs(frame - expected).max() < 1e-4 * np.ptp(expected)


def _far(canvas):
    return [n for m, p in reversed(list(zip(canvas.inner, canvas.padded))) for n in (0, p - m)]


def test_without_adaptation_neither_scheme_nor_seed_matters(engine, phases):
    base = arrays(run(engine, phases()))
    assert equal(base, arrays(run(engine, phases(), scheme="naive", seed=9)))


# -- schemes over a sequence -------------------------------------------------------------------------------------------


def test_online_frames_of_a_pair_are_the_same_in_a_sequence_and_alone(engine, phases):
    sequence = phases(3, dtype=np.float32)
    together = arrays(run(engine, sequence, "reconstruction"))
    assert equal(together[:3], arrays(run(engine, sequence[:2], "reconstruction")))
    assert equal(together[2:], arrays(run(engine, sequence[1:], "reconstruction")))


def test_mini_batch_frames_of_a_later_pair_carry_the_pairs_before(engine, phases):
    sequence = phases(3, dtype=np.float32)
    together = arrays(run(engine, sequence, "reconstruction", scheme="mini-batch"))
    assert equal(together[:3], arrays(run(engine, sequence[:2], "reconstruction")))
    assert not equal(together[2:], arrays(run(engine, sequence[1:], "reconstruction")))


def test_naive_frames_of_the_first_pair_know_the_pairs_to_come(engine, phases):
    sequence = phases(3, dtype=np.float32)
    together = arrays(run(engine, sequence, "reconstruction", scheme="naive"))
    assert not equal(together[:3], arrays(run(engine, sequence[:2], "reconstruction", scheme="naive")))


# -- one seed, one answer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auxiliary", TASKS)
def test_the_same_seed_gives_the_same_frames_to_the_bit(engine, small_weights, phases, auxiliary):
    sequence = phases(3, dtype=np.float32)
    torch.manual_seed(1)
    one = arrays(run(engine, sequence, auxiliary, scheme="mini-batch", seed=5))
    torch.manual_seed(2)
    assert equal(one, arrays(run(Interpolator(small_weights, "cpu"), sequence, auxiliary, scheme="mini-batch", seed=5)))


@pytest.mark.parametrize("auxiliary", ["rotation", "reconstruction"])
def test_another_seed_gives_other_frames(engine, phases, auxiliary):
    pair = phases(2, dtype=np.float32)
    assert not equal(*(arrays(run(engine, pair, auxiliary, seed=seed)) for seed in (5, 6)))


# -- what comes out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_phases_come_back_bit_for_bit_and_the_frames_keep_scalar_type_and_range(engine, phases, dtype):
    pair = phases(2, dtype=dtype)
    if np.dtype(dtype).kind != "u":
        shift = 60 if dtype == np.int8 else 700
        pair = [Volume((p.array.astype(np.float64) - shift).astype(dtype), p.geometry) for p in pair]
    result = list(run(engine, pair, "reconstruction", frames=2).frames)
    assert [f.acquired for f in result] == [True, False, False, True]
    assert [f.time for f in result] == [0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]
    assert np.array_equal(result[0].array, pair[0].array) and np.array_equal(result[-1].array, pair[1].array)
    low, high = min(p.array.min() for p in pair), max(p.array.max() for p in pair)
    for frame in result:
        assert frame.array.dtype == dtype and frame.array.shape == pair[0].array.shape
        assert low <= frame.array.min() and frame.array.max() <= high
    assert result[1].array.min() < result[1].array.max()


@settings(max_examples=12)
@given(size=st.tuples(*[st.integers(1, 22)] * 3), auxiliary=st.sampled_from(["none", *TASKS]))
def test_a_pair_of_any_size_is_interpolated(engine, size, auxiliary):
    size = size if size[0] * size[1] * size[2] > 3 else (1, 2, 2)
    generator = np.random.default_rng(0)
    grid = Geometry(size, (8.0, 1.5, 1.5))
    pair = [Volume(generator.permutation(int(np.prod(size))).reshape(size).astype(np.int16), grid) for _ in range(2)]
    frames = arrays(run(engine, pair, auxiliary, iterations=1) if auxiliary != "none" else run(engine, pair))
    assert [f.shape for f in frames] == [size] * 3 and frames[1].min() >= 0


def test_a_sequence_holds_every_phase_once_and_its_index_runs_from_0_to_100(engine, phases):
    sequence = phases(3)
    result = list(run(engine, sequence, frames=2).frames)
    assert [round(f.index, 3) for f in result] == [0, 16.667, 33.333, 50, 66.667, 83.333, 100]
    assert [f.pair for f in result] == [0, 0, 0, 1, 1, 1, 1]
    for phase, frame in zip(sequence, result[::3]):
        assert frame.acquired and np.array_equal(frame.array, phase.array)
    assert not any(f.acquired for f in (*result[1:3], *result[4:6]))


def test_a_cycle_ends_before_its_first_phase_comes_again(engine, phases):
    sequence = phases(3)
    cyclic = list(run(engine, sequence, cyclic=True).frames)
    assert [round(f.index, 3) for f in cyclic] == [0, 16.667, 33.333, 50, 66.667, 83.333]
    back = arrays(run(engine, [sequence[2], sequence[0]]))
    assert np.array_equal(cyclic[5].array, back[1])


def test_frames_do_not_depend_on_which_other_times_are_asked_for(engine, phases):
    pair = phases(2, dtype=np.float32)
    alone = arrays(run(engine, pair, times=[0.5]))[1]
    among = arrays(run(engine, pair, times=[0.1, 0.3, 0.5, 0.8]))[3]
    assert np.abs(alone - among).max() < 1e-4 * np.ptp(alone)


def test_displacements_are_on_the_native_grid_and_nothing_for_the_first_phase(engine, phases):
    pair = phases()
    result = list(run(engine, pair, frames=1, canvas=16, displacements=True).frames)
    assert [f.displacement.shape for f in result] == [(*pair[0].array.shape, 3)] * 3
    assert not result[0].displacement.any() and result[1].displacement.any()
    assert all(f.displacement is None for f in run(engine, pair).frames)


def test_the_report_tells_what_was_done(engine, small_weights, phases):
    result = run(engine, phases(3), "reconstruction", scheme="mini-batch", frames=2, seed=3)
    list(result.frames)
    report = result.report
    assert report["weights"]["sha256"] == weights.checksum(Path(small_weights)) and report["device"] == "cpu"
    assert [(a["batch"], len(a["losses"])) for a in report["adaptation"]] == [(0, 2), (1, 2)]
    assert len(report["frames"]) == len(result.index) == 7
    assert InterpolationSettings.from_json(report["settings"]).seed == 3
    assert report["canvas"] == [5, 29, 33] and report["messages"] == []
    assert all(seconds > 0 for seconds in report["seconds"].values())


# -- streaming ---------------------------------------------------------------------------------------------------------


def test_nothing_is_done_before_the_first_frame_is_asked_for(engine, phases):
    told = []
    result = run(engine, phases(), "reconstruction", progress=told.append)
    assert not told
    next(result.frames)
    assert told and result.report["frames"] == [{"index": 0.0, "pair": 0, "time": 0.0, "acquired": True}]


def test_a_frame_is_forgotten_once_it_is_handed_out(engine, phases):
    handed_out = []
    for frame in run(engine, phases(), frames=6).frames:
        if not frame.acquired:
            handed_out.append(weakref.ref(frame.array))
        del frame
        gc.collect()
        assert all(reference() is None for reference in handed_out[:-1])
    assert len(handed_out) == 6


def test_memory_does_not_grow_with_the_number_of_frames(engine):
    grid = Geometry((6, 60, 60), (8.0, 1.5, 1.5))
    pair = [Volume(np.random.default_rng(n).integers(0, 900, grid.shape).astype(np.int16), grid) for n in (0, 1)]
    frame_bytes = pair[0].array.nbytes

    def peak(frames: int) -> int:
        gc.collect()
        tracemalloc.start()
        for _ in run(engine, pair, frames=frames, canvas=16).frames:
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak(2)
    assert peak(24) < peak(4) + frame_bytes


# A child process that reads its own peak of memory, torch's included, for a few frames and for many; in MiB.
PEAKS = """
import sys
import numpy as np, torch
from ttt4d.temporal.pipeline import Interpolator
from ttt4d.settings import InterpolationSettings
from ttt4d.images.volume import Geometry, Volume

torch.set_num_threads(1)
grid = Geometry((40, 128, 128), (3.0, 1.0, 1.0))
pair = [Volume(np.random.default_rng(n).integers(0, 900, grid.shape).astype(np.int16), grid) for n in (0, 1)]
interpolator = Interpolator(sys.argv[1], "cpu")
for frames in (2, 4, 20):
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak so far is forgotten
    settings = InterpolationSettings.from_json({"frames": frames, "canvas": 16, "adaptation": {"auxiliary": "none"}})
    for frame in interpolator.run(pair, settings).frames:
        pass
    with open("/proc/self/status") as file:
        print(next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM")))
"""


@linux
def test_the_process_s_peak_of_memory_is_the_same_for_many_frames(small_weights):
    """Sixteen more frames are 21 MB more, if they are kept."""
    done = child(PEAKS, small_weights)
    _, few, many = (float(line) for line in done.splitlines())
    assert many < few + 5


# -- progress and cancel -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_progress_never_falls_and_ends_at_one(engine, phases, scheme):
    told = []
    list(run(engine, phases(3), "reconstruction", scheme=scheme, progress=told.append).frames)
    fractions = [p.fraction for p in told]
    assert fractions == sorted(fractions) and 0 < fractions[0] < 0.5 and fractions[-1] == 1
    assert {p.stage for p in told} == {"adaptation", "interpolation"}
    assert sum(p.stage == "adaptation" for p in told) == 4


def test_a_cancel_stops_the_adaptation_within_a_step(engine, phases):
    told = []
    result = run(engine, phases(), "reconstruction", iterations=50, progress=told.append,
                 cancelled=lambda: len(told) >= 3)
    with pytest.raises(Cancelled):
        next(result.frames)
    assert [p.metrics["iteration"] for p in told] == [1, 2, 3]


def test_a_cancel_stops_the_interpolation_within_a_frame(engine, phases):
    got = []
    result = run(engine, phases(), frames=9, cancelled=lambda: len(got) >= 4)
    with pytest.raises(Cancelled):
        for frame in result.frames:
            got.append(frame)
    assert len(got) == 4


def test_a_cancel_before_the_start_does_no_step(engine, phases):
    told = []
    with pytest.raises(Cancelled):
        next(run(engine, phases(), "reconstruction", progress=told.append, cancelled=lambda: True).frames)
    assert not told


# -- what cannot be interpolated ---------------------------------------------------------------------------------------


def test_phases_on_different_grids_are_refused_before_the_work(engine, phases):
    one, other = phases()
    moved = Volume(other.array, Geometry(other.geometry.shape, (8.0, 3.0, 2.9)))
    with pytest.raises(GeometryError, match="spacing"):
        run(engine, [one, moved])


def test_one_phase_is_refused(engine, phases):
    with pytest.raises(InputError, match="two phases"):
        run(engine, phases()[:1])


def test_phases_of_different_scalar_types_are_refused(engine, phases):
    """Values beyond the first one's type would wrap around."""
    with pytest.raises(InputError, match="uint8 and int16"):
        run(engine, [phases(2, dtype=np.uint8)[0], phases(2, dtype=np.int16)[1]])


# -- memory that does not suffice --------------------------------------------------------------------------------------

# A child process that runs again and again with ever less memory to spare, until a run has to say so, and at last with
# hardly any. Prints how each run ended.
TIGHT = """
import json, resource, sys
import numpy as np, torch
from ttt4d.devices import is_out_of_memory
from ttt4d.temporal.pipeline import Interpolator
from ttt4d.settings import InterpolationSettings
from ttt4d.images.volume import Geometry, Volume

torch.set_num_threads(1)
size, hard = (32, 64, 64), resource.getrlimit(resource.RLIMIT_AS)[1]
pair = [Volume(np.random.default_rng(n).integers(0, 400, size).astype(np.int16), Geometry(size, (1.0,) * 3))
        for n in (0, 1)]
settings = InterpolationSettings.from_json({"frames": 2, "adaptation": {"auxiliary": sys.argv[2], "iterations": 1}})
interpolator = Interpolator(sys.argv[1], "cpu")

def run(room):
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + int(room * 2**20), hard))
    result, frames = interpolator.run(pair, settings), []
    try:
        for frame in result.frames:
            frames.append([frame.array.shape, frame.acquired, frame.time])
        end = "all frames"
    except (RuntimeError, MemoryError) as error:
        end = "out of memory" if is_out_of_memory(error) else str(error)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    return {"end": end, "frames": frames, "messages": result.report["messages"], "canvas": result.report["canvas"]}

runs, room = [run(400)], 300
while not runs[-1]["messages"] and room > 4:
    runs.append(run(room))
    room *= 0.75
print(json.dumps([*runs, run(2)]))
"""


@pytest.fixture(scope="module", params=["none", "reconstruction"])
def tight(small_weights, request):
    """The first run, which had memory enough; the first that had not; the last, with hardly any."""
    runs = json.loads(child(TIGHT, small_weights, request.param))
    return runs[0], runs[-2], runs[-1]


@linux
def test_a_run_that_is_out_of_memory_goes_on_with_a_smaller_canvas_and_says_so(tight):
    enough, less, _ = tight
    assert enough["messages"] == [] and 1 <= len(less["messages"]) <= 3
    assert less["end"] == enough["end"] == "all frames"
    assert less["frames"] == enough["frames"]  # each once, at native resolution
    assert [time for _, _, time in less["frames"]] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert np.prod(less["canvas"]) < 0.7 * np.prod(enough["canvas"])
    assert all("memory is full: going on with a canvas of" in message for message in less["messages"])


@linux
def test_a_run_that_fits_on_no_canvas_ends_after_three_smaller_ones(tight):
    hardly = tight[2]
    assert hardly["end"] == "out of memory" and len(hardly["messages"]) == 3
    assert np.prod(hardly["canvas"]) < 0.2 * np.prod(tight[0]["canvas"])


def test_the_last_phase_s_displacement_leads_all_the_way_to_the_first(engine, phases):
    fields = [frame.displacement for frame in run(engine, phases(), frames=2, displacements=True).frames]
    assert not fields[0].any() and all(field.any() for field in fields[1:])


def test_displacements_of_a_sequence_lead_through_its_phases_to_the_first(engine, phases):
    one, two, three = phases(3)
    first_pair, second_pair, chain = ([frame.displacement for frame in run(engine, of, displacements=True).frames]
                                      for of in ((one, two), (two, three), (one, two, three)))
    assert all(np.array_equal(a, b) for a, b in zip(chain, first_pair))
    to_second, to_first = second_pair[1], chain[2]
    grid = np.stack(np.meshgrid(*map(np.arange, one.geometry.shape), indexing="ij"), axis=-1)
    led_on = torch.from_numpy(to_first).permute(3, 0, 1, 2)[None]
    there = torch.from_numpy((grid + to_second).astype(np.float32)).permute(3, 0, 1, 2)[None]
    expected = to_second + warping.sample(led_on, there)[0].permute(1, 2, 3, 0).numpy()
    assert np.abs(chain[3] - expected).max() < 1e-4 and np.abs(to_first).max() > 1e-3


@pytest.mark.parametrize("value", [0, float("nan"), float("inf")])
def test_a_phase_without_a_scale_is_refused(engine, phases, value):
    first, second = phases(dtype=np.float32)
    with pytest.raises(InputError, match="constant or holds values"):
        run(engine, [first, Volume(second.array * np.float32(value), second.geometry)])


def test_the_report_names_the_weights_that_were_loaded_without_their_folder(engine, phases, small_weights):
    report = run(engine, phases(), weights="cardiac").report
    assert report["weights"]["name"] == report["settings"]["weights"] == os.path.basename(small_weights)
