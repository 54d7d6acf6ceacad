"""Make the picture of the README anew, with the real service: `python scripts/picture.py`."""

import tempfile
from pathlib import Path

from rich.console import Console

from candor.cli.demonstration.pictures import show_photographs
from candor.cli.demonstration.service import running_service
from candor.client import Client
from candor.render.sheet import contact_sheet

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs/images/demo.jpg"
WITHOUT = "rocket"  # what it shows is told better in words


def main() -> None:
    """Explain the demo's photographs and keep the contact sheet of most of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            running_service(ROOT / "models/repository", folder / "service.log") as service,
            Client(service.address) as client,
        ):
            shown = show_photographs(client, Console(), folder)
        sheet = contact_sheet(
            [each.strip(folder) for each in shown if WITHOUT not in each.title], width=230
        )
    PICTURE.parent.mkdir(exist_ok=True)
    sheet.save(PICTURE, quality=82, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
