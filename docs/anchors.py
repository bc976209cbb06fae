"""A Sphinx extension: ``<a id="name"></a>`` on a line of its own names the section below it, as it does on a forge."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

ANCHOR = re.compile(r'<a id="([a-z-]+)"></a>')


class Anchors(SphinxTransform):
    default_priority = 250  # before targets are handed on to the section below

    def apply(self, **kwargs: object) -> None:
        for paragraph in list(self.document.findall(nodes.paragraph)):
            anchor = ANCHOR.fullmatch(paragraph.astext())
            if anchor is not None:
                target = nodes.target("", "", names=[anchor[1]])
                self.document.note_explicit_target(target, target)
                paragraph.replace_self(target)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(Anchors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
