"""What the page on security shows is taken as it stands."""

import re

from candor.wire.key_file import read_keys
from serving import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_the_file_of_keys_on_the_page_is_one():
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (key,) = read_keys(block.replace("9f86d081884c7d65...", "9f86d081884c7d65" * 4))
    assert (key.name, key.tenant, key.control) == ("team-a", "research", True)
    assert key.models == {"photos", "digits"}
    assert (key.limits.requests_per_s, key.limits.burst, key.limits.concurrent) == (50, 100, 8)
