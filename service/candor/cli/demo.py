"""Start the service on the committed models, explain photographs and sentences, and stop.

Everything is real: a process of its own, gRPC, the models, the cache. Pictures go to --out, words
are drawn here. Each call is made twice, to show what the cache is worth.
"""

import argparse
from pathlib import Path

from rich.console import Console

from candor.cli.demonstration.page import write_pages
from candor.cli.demonstration.pictures import show_photographs
from candor.cli.demonstration.service import running_service
from candor.cli.demonstration.texts import show_sentences
from candor.cli.exits import UsageError
from candor.client import Client
from candor.settings import load_settings

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = """\
  candor demo
  candor demo --out /tmp/pictures
"""

_FAREWELL = """\
Call it from your own code: start it by  candor serve  and then

    from candor.client import Client

    with Client("127.0.0.1:8001") as client:
        answer = client.explain("photos", ["grad_cam"], images=["cat.jpg"], render=True)
        print(answer.prediction.rows[0].top[0])
        open("cat.grad_cam.png", "wb").write(answer.of("grad_cam").overlay_png)

or from the command line:  candor explain cat.jpg --model photos --methods grad_cam --out out/
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `candor demo`."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/demo"),
        metavar="FOLDER",
        help="where the pictures go (out/demo)",
    )


def run(args: argparse.Namespace) -> int:
    """Show what candor does."""
    console = Console(highlight=False)
    root = load_settings().model_root
    if not root.is_dir():
        raise UsageError(
            f"there is no model repository at {root}; run this where the project is, or set "
            "CANDOR_MODEL_ROOT"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    console.print("Starting the service ...")
    with running_service(root, args.out / "service.log") as service, Client(service.address) as c:
        console.print(f"Ready after {service.started_s:.1f} s at {service.address}", end=", ")
        console.print(f"serving {', '.join(service.models)}\n")
        console.rule("photographs", align="left")
        shown = show_photographs(c, console, args.out)
        console.rule("sentences", align="left")
        show_sentences(c, console)
    page, sheet = write_pages(args.out, shown)
    console.rule(align="left")
    console.print("The service has stopped. The pictures are in")
    for file in (page, sheet):
        console.print(f"  {file.resolve()}", soft_wrap=True)
    console.print()
    print(_FAREWELL)
    return 0
