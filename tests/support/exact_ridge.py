"""Ridge regression and its cross-validation by their definitions."""

from __future__ import annotations

import numpy as np


def ridge_solution(rows: np.ndarray, targets: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge regression of targets (n, C) on rows (n, D + 1), the constant last and as good as unpenalized."""
    penalties = np.diag([penalty] * (rows.shape[1] - 1) + [1e-6])
    solution: np.ndarray = np.linalg.solve(rows.T @ rows + penalties, rows.T @ targets)
    return solution


def ridge_error(rows: np.ndarray, targets: np.ndarray, penalty: float) -> float:
    """Generalized cross-validation by its definition, with the hat matrix."""
    count, size = rows.shape
    inverse = np.linalg.inv(rows.T @ rows + np.diag([penalty] * (size - 1) + [1e-6]))
    hat = rows @ inverse @ rows.T
    residual = ((targets - hat @ targets) ** 2).sum()
    return float(residual / count / max(1 - np.trace(hat) / count, 1e-6) ** 2)
