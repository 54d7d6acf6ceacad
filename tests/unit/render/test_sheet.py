import numpy as np
from PIL import Image

from candor.render.sheet import Strip, contact_sheet


def test_every_picture_is_on_the_sheet_in_the_same_width() -> None:
    red = Image.new("RGB", (50, 100), (255, 0, 0))
    blue = Image.new("RGB", (400, 200), (0, 0, 255))
    sheet = np.asarray(
        contact_sheet([Strip("one", "", [red, blue]), Strip("two", "note", [blue])], width=80)
    )
    reds = (sheet == (255, 0, 0)).all(axis=-1)
    blues = (sheet == (0, 0, 255)).all(axis=-1)
    assert reds.sum() == 80 * 160
    assert blues.sum() == 2 * 80 * 40
