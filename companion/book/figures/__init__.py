"""The book's one style, its diagrams, and interactive figures that need no server."""

from companion.book.figures.diagrams import (
    block_diagram,
    decision_path,
    operation_graph,
    path_diagram,
)
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
    "block_diagram",
    "decision_path",
    "feature_maps",
    "figure",
    "operation_graph",
    "path_diagram",
    "plot_condition",
    "selector",
    "show",
    "slider",
    "svg",
    "table",
]
