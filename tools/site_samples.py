"""What the page of the browser decoder shows: photos as they are and as .rgru, and the models.

python tools/site_samples.py SITE
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import rgru_codec

NAMES = ("astronaut", "coffee", "chelsea")
_THUMBNAIL = 160


def main(site: Path) -> None:
    """Write SITE/samples/NAME.png, .rgru and .jpg (a thumbnail), SITE/packages/ID of each model.

    Files of earlier versions open on the page, too; SITE/models/default names what compresses.
    """
    import skimage.data

    default = rgru_codec.default_model()
    for table in default.folder.parent.glob("*/model.json"):
        shutil.copytree(table.parent, site / "packages" / table.parent.name)
    (site / "models").mkdir()
    (site / "models" / "default").write_text(f"{default.id.hex()}\n")
    folder = site / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        image = Image.fromarray(np.asarray(getattr(skimage.data, name)()))
        image.save(folder / f"{name}.png", optimize=True)
        (folder / f"{name}.rgru").write_bytes(rgru_codec.compress(image, layers="all"))
        image.thumbnail((_THUMBNAIL, _THUMBNAIL))
        small = io.BytesIO()
        image.save(small, "JPEG", quality=80)
        (folder / f"{name}.jpg").write_bytes(small.getvalue())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
