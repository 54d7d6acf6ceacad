import json
import os
import subprocess
import sys

import pytest

from candor import __version__
from candor.cli import COMMANDS
from candor.settings import SETTINGS
from cli.running import ROOT, candor


def test_without_a_command_the_commands_and_exit_codes_are_listed() -> None:
    done = candor()
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)
    assert "no service could be reached" in done.stdout


def test_the_version_is_that_of_the_package() -> None:
    assert candor("--version").stdout == f"candor {__version__}\n"


def test_an_unknown_command_is_a_usage_error_that_names_the_commands() -> None:
    done = candor("explian")
    assert done.returncode == 2
    assert "explian" in done.stderr
    assert "explain" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str) -> None:
    done = candor(command, "-h")
    assert done.returncode == 0
    assert f"usage: candor {command}" in done.stdout
    assert f"candor {command}" in done.stdout.partition("examples:")[2]


def test_serve_has_a_flag_for_every_setting() -> None:
    shown = candor("serve", "-h").stdout
    assert [row.flag for row in SETTINGS if f"{row.flag} " not in shown] == []


def test_settings_prints_what_is_in_force() -> None:
    done = candor("settings", "--json", CANDOR_GRPC_ADDRESS="127.0.0.1:9001")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert list(rows) == [row.name for row in SETTINGS]
    assert rows["grpc_address"]["value"] == "127.0.0.1:9001"
    assert rows["grpc_address"]["default"] == "127.0.0.1:8001"
    assert rows["http_address"]["value"] == rows["http_address"]["default"]


def test_the_settings_table_says_which_variable_changed_a_value() -> None:
    done = candor("settings", CANDOR_DRAIN_S="3")
    assert done.returncode == 0
    assert "CANDOR_DRAIN_S" in done.stdout


def test_a_setting_that_cannot_be_read_is_an_error_that_says_what_would_be_right() -> None:
    done = candor("serve", "--grpc-address", "8001")
    assert done.returncode == 1
    assert "--grpc-address is '8001'" in done.stderr
    assert "host:port" in done.stderr


def test_output_that_nobody_reads_to_its_end_is_no_error() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"'{sys.executable}' -m candor settings --json | head -n 1"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "service"), "PATH": os.environ["PATH"]},
    )
    assert done.stdout == "[\n"
    assert done.stderr == ""
