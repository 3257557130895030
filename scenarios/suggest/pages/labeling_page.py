"""``label.html``: one file in which a batch of images is labeled by keys, without a server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

HERE = Path(__file__).parent


@dataclass(frozen=True)
class ShownImage:
    """An image of the page.

    Attributes:
        file: Its path as label files have it.
        url: Where it lies, seen from the page.
        thumb: A small picture of it as a data URL.
        preview: A larger one, where a browser cannot show the file itself; else empty.
        predicted: The class that the classifier would give, or empty.
        confidence: Its probability.
        reason: Why the image is asked for.
    """

    file: str
    url: str
    thumb: str
    preview: str = ""
    predicted: str = ""
    confidence: float = 0.0
    reason: str = ""


def labeling_page(title: str, key: str, classes: Sequence[str], images: Sequence[ShownImage]) -> str:
    """Returns the page.

    Args:
        title: Its heading.
        key: What the browser keeps its labels under: another one for every batch.
        classes: Those that there are; more can be added in the page.
        images: In the order in which they are to be labeled.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined
    )
    batch = {"id": key, "classes": list(classes), "images": [asdict(image) for image in images]}
    text = json.dumps(batch, ensure_ascii=False, separators=(",", ":"))
    return environment.get_template("label.html.jinja").render(
        title=title,
        batch=Markup(text.replace("<", "\\u003c")),  # nothing in a name ends the element
        style=Markup((HERE / "label.css").read_text()),
        script=Markup((HERE / "label.js").read_text()),
    )
