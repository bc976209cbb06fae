"""A Sphinx extension for small screens: a table cell that `site.css` puts on a line of its own has its heading."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx


def label_cells(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for table in doctree.findall(nodes.table):
        headings = [entry.astext() for head in table.findall(nodes.thead) for entry in head.findall(nodes.entry)]
        for row in (row for body in table.findall(nodes.tbody) for row in body.findall(nodes.row)):
            for heading, cell in list(zip(headings, row.children, strict=True))[1:]:  # the first is the row's title
                text = cell.next_node(nodes.paragraph)
                if heading and text is not None:
                    text.insert(0, nodes.inline(text=f"{heading}: ", classes=["cell-label"]))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-resolved", label_cells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
