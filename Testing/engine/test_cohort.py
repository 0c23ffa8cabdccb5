"""The list around one run: which cases there are, who takes which, and what has come of them."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import subprocess
import sys
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shell import files_in, until
from ttt4d.cohort import claims
from ttt4d.cohort.cases import Case, find_cases
from ttt4d.cohort.claims import claimed
from ttt4d.cohort.page import write_page
from ttt4d.cohort.parts import Part
from ttt4d.cohort.results import STATE, Row, clear_state
from ttt4d.cohort.summary import Summary, rows_of_results, write_table
from ttt4d.errors import InputError, SettingsError


def touch(folder, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


# -- the cases ---------------------------------------------------------------------------------------------------------


def test_a_bids_tree_has_a_case_for_each_session_and_names_the_data_type_where_there_are_several(tmp_path):
    touch(tmp_path, "dataset_description.json", "sub-01/ses-1/anat/sub-01_ses-1_ED.nii.gz",
          "sub-01/ses-1/anat/sub-01_ses-1_ES.nii.gz", "sub-01/ses-2/func/sub-01_ses-2_cine.nii.gz",
          "sub-02/anat/sub-02_ED.nii", "sub-02/anat/sub-02_ES.nii", "sub-02/func/sub-02_cine.nii",
          "derivatives/other/sub-01/anat/sub-01_x.nii.gz", "sourcedata/IM0")
    found = {case.name: case for case in find_cases(str(tmp_path))}
    assert list(found) == ["sub-01_ses-1", "sub-01_ses-2", "sub-02_anat", "sub-02_func"]
    assert [os.path.basename(path) for path in found["sub-01_ses-1"].phases] == [
        "sub-01_ses-1_ED.nii.gz", "sub-01_ses-1_ES.nii.gz"]
    assert found["sub-01_ses-2"].sequence.endswith("cine.nii.gz")


def test_participants_are_chosen_with_or_without_sub_and_an_unknown_one_is_named(tmp_path):
    touch(tmp_path, *(f"sub-{n}/ses-1/anat/sub-{n}_{phase}.nii" for n in ("01", "02", "03") for phase in ("ED", "ES")))
    found = find_cases(str(tmp_path), participants=["03", "sub-01"])
    assert [case.name for case in found] == ["sub-03_ses-1", "sub-01_ses-1"]
    with pytest.raises(InputError, match="no participant sub-09"):
        find_cases(str(tmp_path), participants=["09"])
    touch(tmp_path / "plain", "ann/0.nii", "ann/1.nii")
    with pytest.raises(InputError, match="no BIDS tree"):
        find_cases(str(tmp_path / "plain"), participants=["01"])


def test_for_slices_two_images_are_no_pair_and_each_image_of_a_bids_tree_is_a_case(tmp_path):
    touch(tmp_path, "plain/ann/0.nii", "plain/ann/1.nii", "plain/bob.nii",
          "bids/sub-1/ses-1/anat/sub-1_ses-1_T1w.nii.gz", "bids/sub-1/ses-1/anat/sub-1_ses-1_T2w.nii.gz")
    assert find_cases(str(tmp_path / "plain"), volumes=True) == [
        Case("bob", sequence=str(tmp_path / "plain/bob.nii")), Case("ann", sequence=str(tmp_path / "plain/ann"))]
    assert [case.name for case in find_cases(str(tmp_path / "bids"), volumes=True)] == [
        "sub-1_ses-1_T1w", "sub-1_ses-1_T2w"]


def test_patients_whose_folders_are_called_sub_are_no_bids_tree_without_sessions(tmp_path):
    touch(tmp_path, "sub-1/ED/IM0", "sub-1/ES/IM0", "other/0.nii", "other/1.nii")
    assert [(case.name, len(case.phases)) for case in find_cases(str(tmp_path))] == [("other", 2), ("sub-1", 2)]


def test_thousands_of_cases_are_listed_in_seconds(tmp_path):
    touch(tmp_path, "ed.nii", "es.nii")
    (tmp_path / "cases").mkdir()
    for n in range(2000):
        folder = tmp_path / "cases" / f"p{n}"
        folder.mkdir()
        for name in ("ed.nii", "es.nii"):
            os.link(tmp_path / name, folder / name)
    began = time.process_time()
    cases = find_cases(str(tmp_path / "cases"))
    assert [case.name for case in cases[:3]] == ["p0", "p1", "p2"] and len(cases) == 2000
    assert time.process_time() - began < 2, "ten thousand are to take less than ten seconds"


# -- the parts ---------------------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.lists(st.integers(), max_size=200, unique=True))
def test_the_parts_hold_every_case_once_and_differ_by_one_case_at_most(count, cases):
    parts = [Part.parse(f"{n}/{count}").of(cases) for n in range(1, count + 1)]
    assert sorted(case for part in parts for case in part) == sorted(cases)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("environment, part", [
    ({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "9",
      "SLURM_ARRAY_TASK_STEP": "2"}, Part(2, 4)),
    ({"SGE_TASK_ID": "2", "SGE_TASK_FIRST": "1", "SGE_TASK_LAST": "5", "SGE_TASK_STEPSIZE": "1"}, Part(1, 5)),
    ({"LSB_JOBINDEX": "3", "LSB_JOBINDEX_END": "6", "LSB_JOBINDEX_STEP": "1"}, Part(2, 6)),
])
def test_auto_reads_number_and_count_of_a_job_array(environment, part):
    assert Part.parse("auto", environment) == part


@pytest.mark.parametrize("name", ["PBS_ARRAY_INDEX", "PBS_ARRAYID", "JOB_COMPLETION_INDEX"])
@pytest.mark.parametrize("first", [0, 1])
def test_where_the_scheduler_tells_no_count_the_user_does_and_no_part_is_missing(name, first):
    parts = [Part.parse("auto/3", {name: str(first + n)}) for n in range(3)]
    assert sorted(part.number for part in parts) == [0, 1, 2]
    with pytest.raises(SettingsError, match="auto/N"):
        Part.parse("auto", {name: "1"})


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "a/b", "1/0", "-1/4", "auto/0"])
def test_a_part_that_makes_no_sense_is_refused_in_one_sentence(text):
    with pytest.raises(SettingsError):
        Part.parse(text, {})


@pytest.mark.parametrize("environment", [{}, {"SGE_TASK_ID": "undefined"}, {"LSB_JOBINDEX": "0"}])
def test_outside_of_a_job_array_auto_is_refused(environment):
    with pytest.raises(SettingsError, match="no task of a job array"):
        Part.parse("auto", environment)


# -- the claims --------------------------------------------------------------------------------------------------------


def take(path: str, together, results) -> None:
    together.wait()
    with claimed(path) as mine:
        results.put(mine)
        together.wait()


def test_of_many_that_claim_a_case_at_once_one_gets_it(tmp_path):
    context = multiprocessing.get_context("spawn")
    together, results = context.Barrier(4), context.SimpleQueue()
    processes = [context.Process(target=take, args=(str(tmp_path / "c"), together, results)) for _ in range(4)]
    for process in processes:
        process.start()
    got = [results.get() for _ in processes]
    for process in processes:
        process.join()
    assert sorted(got) == [False, False, False, True]
    assert not list(tmp_path.iterdir()), "a claim ends with its holder"


@pytest.mark.skipif(os.name != "posix", reason="Windows does not tell whether a process lives")
def test_the_claim_of_a_process_that_is_gone_is_void_at_once(tmp_path):
    path = str(tmp_path / "c")
    code = "import os, sys\nfrom ttt4d.cohort.claims import claimed\nwith claimed(sys.argv[1]): os._exit(0)"
    subprocess.run([sys.executable, "-c", code, path], check=True,
                   env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert os.path.exists(path)
    with claimed(path) as mine:
        assert mine


def test_the_claim_of_another_host_holds_until_nobody_has_touched_it_for_long(tmp_path):
    path = tmp_path / "c"
    touch(path, "1-x-elsewhere")
    with claimed(str(path)) as mine:
        assert not mine
    os.utime(path / "1-x-elsewhere", (0, time.time() - claims.STALE_SECONDS - 5))
    with claimed(str(path)) as mine:
        assert mine
    assert not list(tmp_path.iterdir())


def test_who_slept_for_too_long_has_lost_its_claim_and_does_not_touch_that_of_another(tmp_path):
    path = tmp_path / "c"
    with claimed(str(path)):
        assert claims.is_held_here(str(path))
        mine, = path.iterdir()
        os.utime(mine, (0, time.time() - claims.STALE_SECONDS - 5))
        with claimed(str(path)) as taken_over:
            assert taken_over and not mine.exists()
            os.rename(next(path.iterdir()), path / "1-x-elsewhere")
        assert not claims.is_held_here(str(path))
    assert files_in(path) == ["1-x-elsewhere"]


def test_a_claim_that_was_given_free_by_halves_is_free(tmp_path):
    (tmp_path / "c").mkdir()
    with claimed(str(tmp_path / "c")) as mine:
        assert mine


def clear_again_and_again(folder: str, until_it_is_there: str) -> None:
    while not os.path.exists(until_it_is_there):
        clear_state(folder)


def test_a_claim_is_made_though_another_part_ends_at_any_moment_and_removes_the_folder(tmp_path):
    end, path = str(tmp_path / "end"), tmp_path / STATE / "c.claim"
    other = multiprocessing.get_context("spawn").Process(target=clear_again_and_again, args=(str(tmp_path), end))
    other.start()
    try:
        kept = 0
        for _ in range(300):
            with claimed(str(path)) as mine:
                if mine:
                    (path.parent / "c.part").mkdir()
                    kept += claims.is_held_here(str(path))
                    (path.parent / "c.part").rmdir()
    finally:
        (tmp_path / "end").touch()
        other.join()
    assert other.exitcode == 0 and kept > 0
    clear_state(str(tmp_path))
    assert not (tmp_path / STATE).exists()


def test_a_claim_is_touched_while_the_work_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.05)
    path = str(tmp_path / "c")
    with claimed(path):
        file = os.path.join(path, *os.listdir(path))
        os.utime(file, (1, 1))
        until(lambda: os.stat(file).st_mtime > 2)


# -- the summary -------------------------------------------------------------------------------------------------------


def report(messages=(), seconds=1.0, kept=True) -> str:
    return json.dumps({"settings": {}, "frames": [{}] * 3, "messages": list(messages), "inputs": "x",
                       "seconds": {"reading": 0.5, "adaptation": seconds - 0.5}, "adaptation": [{"kept": kept}]})


@pytest.fixture
def results(tmp_path):
    (tmp_path / STATE).mkdir()
    for n in range(12):
        (tmp_path / f"c{n}.json").write_text(report())
        (tmp_path / f"c{n}.png").touch()
    (tmp_path / "c3.json").write_text(report(["The spacing is missing: 1 mm is taken."]))
    (tmp_path / "c4.json").write_text(report(kept=False))
    (tmp_path / "c5.json").write_text(report(seconds=50.0))
    (tmp_path / "c6.json").write_text("{ cut short")
    (tmp_path / "note.json").write_text("[1]")
    (tmp_path / STATE / "<b>.failed.json").write_text(json.dumps(
        {"case": "<b>", "status": "failed", "frames": 0, "seconds": 0.1, "message": "'a&b.nii' is damaged."}))
    return tmp_path


def test_the_table_has_a_row_for_each_report_and_each_failure_in_natural_order(results):
    path = write_table([entry.row for entry in rows_of_results(str(results))], str(results))
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == ["<b>", *(f"c{n}" for n in (0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11))]
    assert (rows[0]["status"], rows[0]["message"]) == ("failed", "'a&b.nii' is damaged.")
    assert (rows[1]["status"], rows[1]["frames"], rows[1]["seconds"]) == ("done", "3", "1.0")


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings, self.sources, self.tags, self._in_heading = [], [], set(), False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        self._in_heading = tag == "h2"

    def handle_data(self, data):
        if self._in_heading:
            self.headings.append(data)
            self._in_heading = False


def test_the_page_shows_first_what_needs_a_look_and_loads_nothing_but_the_pictures_beside_it(results):
    with open(write_page(rows_of_results(str(results)), str(results)), encoding="utf-8") as file:
        page = Page(file.read())
    assert page.headings[:4] == ["<b>: failed", "c3: done", "c4: done", "c5: done"]
    assert len(page.headings) == 12
    assert sorted(page.sources) == sorted(f"c{n}.png" for n in (0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11))
    assert "script" not in page.tags and "link" not in page.tags


def test_a_folder_without_results_is_said(tmp_path):
    with pytest.raises(InputError, match="no result"):
        rows_of_results(str(tmp_path))


def test_an_interrupted_run_has_a_table_of_what_has_ended_in_the_order_of_the_cases(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with Summary(str(tmp_path), [Case(name) for name in "abc"], print) as summary:
            summary.add(Row("c", "done"))
            summary.add(Row("a", "failed", message="no"))
            raise KeyboardInterrupt
    with open(tmp_path / "summary.csv", newline="") as file:
        assert [row["case"] for row in csv.DictReader(file)] == ["a", "c"]
