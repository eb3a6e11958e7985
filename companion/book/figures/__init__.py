"""The book's one style, its diagrams, and figures that a reader can turn without a server."""

from companion.book.figures.diagrams import block_diagram, operation_graph, route
from companion.book.figures.interactive import selector, slider
from companion.book.figures.style import (
    MUTED,
    PLAIN,
    RESIDUAL,
    feature_maps,
    figure,
    plot_condition,
    show,
    svg,
    table,
)

__all__ = [
    "MUTED",
    "PLAIN",
    "RESIDUAL",
    "plot_condition",
    "block_diagram",
    "selector",
    "figure",
    "operation_graph",
    "feature_maps",
    "route",
    "show",
    "slider",
    "svg",
    "table",
]
