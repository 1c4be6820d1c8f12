"""Where the dashboard gets the bytes of a frame from, and how they become an image within bounds."""

import warnings
from io import BytesIO
from typing import Protocol

from PIL import Image, UnidentifiedImageError

from comfytui.errors import Failure

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""What is decoded: the formats of still frames."""

MOST_PIXELS = 50_000_000
"""Pixels above which a picture is not decoded: 200 MB of memory."""

LARGEST_DRAWN = (1600, 1200)
"""Pixels to which a picture is reduced: no terminal shows more."""


class Gallery(Protocol):
    """Gives the bytes of collected frames."""

    def read(self, folder: str, attempt: int, name: str) -> bytes:
        """Return the bytes of a frame of an attempt of the scene with that folder.

        May block. Raises ``Failure`` ``frame.unshowable``.
        """
        ...


def picture(gallery: Gallery, folder: str, attempt: int, name: str) -> tuple[Image.Image, str]:
    """Return a frame as an image, and its size and format in words. May block. Raises ``Failure``."""
    return decoded(gallery.read(folder, attempt, name), name)


def decoded(data: bytes, name: str) -> tuple[Image.Image, str]:
    """Return ``data`` as an image of at most ``LARGEST_DRAWN`` pixels, and what it was: ``1024x576 PNG``.

    Raises ``Failure`` ``frame.unshowable`` for what is no still picture, too large, or broken.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is looked at here
            image: Image.Image = Image.open(BytesIO(data), formats=FORMATS)
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise _unshowable(name, f"it has {width * height / 1e6:,.0f} megapixels, more than are decoded here")
            told = f"{width}x{height} {image.format}"
            image.draft("RGB", LARGEST_DRAWN)
            image = image.convert("RGB")
            image.thumbnail(LARGEST_DRAWN)
            return image, told
    except Failure:
        raise
    except Image.DecompressionBombError:
        raise _unshowable(name, "it has far more pixels than are decoded here") from None
    except UnidentifiedImageError:
        raise _unshowable(name, "it is no still picture (PNG, JPEG, WebP, GIF, BMP)") from None
    except Exception as fault:  # noqa: BLE001  (whatever a decoder makes of broken bytes)
        raise _unshowable(name, f"it cannot be decoded ({type(fault).__name__}: {fault})") from None


def _unshowable(name: str, why: str) -> Failure:
    return Failure("frame.unshowable", name=name, why=why)
