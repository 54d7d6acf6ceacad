"""Every example and every Python block of the documentation runs against a real service."""

import re
from pathlib import Path
from textwrap import dedent

import pytest
from PIL import Image
from skimage import data

from candor.runtime.manifest import load_manifest
from serving import Server
from walkthrough import ADDRESS, Section, run_python, sections, walk

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
OWN_MODELS = ROOT / "docs" / "bring-your-own-model.md"
PAGES = [ROOT / "README.md", *sorted(set((ROOT / "docs").glob("*.md")) - {OWN_MODELS})]
BLOCKS = [
    pytest.param(dedent(block), id=f"{page.name}-{number}")  # some stand in lists
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]
MANIFESTS = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/models.md").read_text(), re.DOTALL)
SAYS = {
    "client.py": r"\w.*: 0\.\d\d, map \(64, 64\)",
    "words.py": r"A film that breathes\. \w+ 0\.\d+",
    "targets.py": r"\['tabby cat', 'lion'\] score",
    "progress.py": r"lime 100%|cut short after \d+ model runs",
    "asynchronous.py": r"0\.\d\d  Not a bad film\.",
    "open_inference_protocol.py": r"candor.grad_cam \[2, 64, 64\]",
}


def _run(code: str, folder: Path, server: Server) -> str:
    Image.fromarray(data.chelsea()).save(folder / "cat.jpg")
    return run_python(code, folder, server, "-W", "error")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_example_runs_and_says_what_it_should(
    path: Path, server: Server, tmp_path: Path
) -> None:
    code = path.read_text(encoding="utf-8")
    assert ADDRESS in code
    assert re.search(SAYS[path.name], _run(code, tmp_path, server))


@pytest.mark.parametrize("block", BLOCKS)
def test_the_block_in_the_documentation_runs(block: str, server: Server, tmp_path: Path) -> None:
    _run(block, tmp_path, server)


@pytest.mark.parametrize("section", sections(OWN_MODELS), ids=lambda section: section.title)
def test_models_are_brought_as_the_page_says(section: Section, tmp_path: Path) -> None:
    walk(section, tmp_path)


@pytest.mark.parametrize("block", MANIFESTS)
def test_the_manifest_in_the_documentation_is_one(block: str, tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(block, encoding="utf-8")
    assert load_manifest(tmp_path).input is not None


def test_the_picture_of_the_first_example_is_one(server: Server, tmp_path: Path) -> None:
    _run((ROOT / "examples/client.py").read_text(), tmp_path, server)
    with Image.open(tmp_path / "cat.grad_cam.png") as picture:
        assert picture.width == data.chelsea().shape[1]


def test_the_client_in_the_readme_is_the_first_example() -> None:
    example = (ROOT / "examples/client.py").read_text(encoding="utf-8").partition('"""\n\n')[2]
    assert f"```python\n{example}```" in (ROOT / "README.md").read_text(encoding="utf-8")
