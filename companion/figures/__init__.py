"""The book's one style, its diagrams, and figures that a reader can turn without a server."""

from companion.figures.diagrams import block_diagram, graph, route
from companion.figures.interactive import choose, slide
from companion.figures.style import MUTED, PLAIN, RESIDUAL, arm, figure, maps, show, svg, table

__all__ = [
    "MUTED",
    "PLAIN",
    "RESIDUAL",
    "arm",
    "block_diagram",
    "choose",
    "figure",
    "graph",
    "maps",
    "route",
    "show",
    "slide",
    "svg",
    "table",
]
