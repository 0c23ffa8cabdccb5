"""What the README and the pages of Docs/ promise: links, pictures, commands, the example, the keys of the report."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any, Iterator, List, Set

import pytest
import SimpleITK as sitk

from shell import SMALL
from ttt4d.commands import cli
from ttt4d.commands.job import Job
from ttt4d.commands.request import Request
from ttt4d.images.resampling import to_sitk
from ttt4d.progress import ignore, never
from ttt4d.settings import InterpolationSettings
from ttt4d.temporal.phantom import beating_heart
from ttt4d.through_plane.settings import SliceRunSettings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "Resources" / "Screenshots" / "README.md",
         *sorted((ROOT / "Docs").glob("*.md"))]
LARGEST_PICTURE = 300_000  # bytes


def names(paths: List[Path]) -> List[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def blocks(page: Path, language: str = "") -> List[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def without_blocks(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> List[str]:
    """The names of a page's headings, as GitHub makes links of them."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(page), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]


def commands_of(page: Path) -> Iterator[List[str]]:
    """The arguments of each line of a page's blocks that starts `ttt4d`."""
    for block in blocks(page):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["ttt4d"]:
                yield words[1:]


COMMANDS = [(page.name, arguments) for page in PAGES for arguments in commands_of(page)]


def test_the_readme_fits_on_a_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_link_and_picture_of_a_page_is_there(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", without_blocks(page))
    missing = []
    for target in targets:
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            missing.append(target)
    assert not missing


def test_every_page_can_be_reached_from_the_readme():
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        for target in re.findall(r"\]\(([^)\s#]+\.md)", without_blocks(page)):
            linked = (page.parent / target).resolve()
            if linked not in seen and ROOT in linked.parents:
                waiting.append(linked)
    assert not {page.resolve() for page in (ROOT / "Docs").glob("*.md")} - {page.resolve() for page in seen}


def test_the_screenshots_are_small_and_each_is_explained():
    folder = ROOT / "Resources" / "Screenshots"
    explained = (folder / "README.md").read_text(encoding="utf-8")
    for picture in folder.glob("*.png"):
        assert picture.stat().st_size <= LARGEST_PICTURE, picture.name
        assert f"`{picture.name}`" in explained


@pytest.mark.parametrize("arguments", [arguments for _, arguments in COMMANDS],
                         ids=[f"{page}: {' '.join(arguments)[:60]}" for page, arguments in COMMANDS])
def test_every_command_of_a_page_is_understood(arguments, monkeypatch):
    """By the real parser; what would run is replaced by nothing."""
    for _, module in cli.COMMANDS.values():
        monkeypatch.setattr(import_module(module, cli.__package__), "run", lambda parsed: 0)
    assert cli.run(arguments) == 0


def test_the_pages_show_every_command_of_the_command_line():
    shown = {arguments[0] for _, arguments in COMMANDS}
    page = (ROOT / "Docs" / "command-line.md").read_text(encoding="utf-8")
    for name in cli.COMMANDS:
        assert f"## `{name}`" in page
        assert name in shown or name == "worker"  # its request comes on standard input


@pytest.fixture
def demo_output(tmp_path, monkeypatch) -> Path:
    """What `make demo` leaves, of a smaller heart, in the folder that the test runs in."""
    folder = tmp_path / "demo-output"
    folder.mkdir()
    for name, phase in zip(("end_diastole", "end_systole"), beating_heart((0, 1), SMALL)[0]):
        sitk.WriteImage(to_sitk(phase), str(folder / f"{name}.nrrd"))
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_example_of_the_readme_runs_on_what_the_demo_leaves(demo_output, capsys):
    (example,) = blocks(ROOT / "README.md", "python")
    exec(compile(example, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["0.0", "acquired"], ["25.0", "synthetic"], ["50.0", "synthetic"], ["75.0", "synthetic"], ["100.0", "acquired"]]


def test_the_page_of_the_report_names_each_of_its_keys_and_no_other(demo_output, small_weights, slice_weights):
    settings = InterpolationSettings.from_json({"frames": 1, "weights": small_weights, "device": "cpu",
                                                "adaptation": {"iterations": 1}})
    phases = tuple(map(str, sorted(demo_output.iterdir())))
    sitk.WriteImage(sitk.ReadImage(phases[0]) > 600, "labels.nrrd")
    slices = SliceRunSettings.from_json({"factor": 2, "weights": slice_weights, "adaptation": {"auxiliary": "none"}})
    request = Request("frames", phases, labels="labels.nrrd", volumes="ml.csv", settings=settings, slices=slices)
    report: Any = Job(request).run(ignore, lambda *frame: None, never)
    report["slices"] = dict.fromkeys(report["slices"])  # what they hold has rows of its own, or is as above
    page = (ROOT / "Docs" / "report.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)) == keys_of(report)


def keys_of(value: Any, name: str = "") -> Set[str]:
    """The keys of a report as its page writes them: `a.b`, and `a[].b` within a list of objects."""
    if isinstance(value, dict):
        return set().union(*(keys_of(item, f"{name}.{key}" if name else key) for key, item in value.items()))
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return set().union(*(keys_of(item, f"{name}[]") for item in value))
    return {name}
