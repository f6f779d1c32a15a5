"""What rows like these had: means of targets in the leaves of a random forest (Breiman 2001), block by block.

The forest only decides which rows are alike; what they had is read off all reference rows of a leaf. So the same forest
tells any number of targets, and the means without a block of rows need no second fit: how much the answer hangs on the
few days or groups that it was learned from. Where a row lies outside of all that was seen, it gets the mean of the rows
at that edge, and nothing is extrapolated.

A mean over a leaf is too level where the target rises within it. `sharpen` adds, leaf by leaf, what each row had beyond
what its neighbours foretold (one step of boosting: Ghosal and Hooker 2021): less bias, more noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.stats.intervals import Blocks

TREES = 40
Floats = NDArray[np.float64]
Places = NDArray[np.int64]


class LeafMeans:
    """A forest that is cut by `shaping` (n, s), with the means of `targets` (n, k) in its leaves.

    `features` (n, p) may hold nan. `smallest` is the number of rows that a leaf has at least, and `tried` the share of
    the features that are tried at each cut.
    """

    def __init__(
        self,
        features: Floats,
        shaping: Floats,
        targets: Floats,
        blocks: Blocks,
        *,
        smallest: int,
        tried: float,
        sharpen: bool,
        seed: int,
    ) -> None:
        from sklearn.ensemble import RandomForestRegressor  # a second of imports that a help text does not need

        self._forest = RandomForestRegressor(TREES, min_samples_leaf=smallest, max_features=tried, random_state=seed)
        self._forest.fit(features.astype(np.float32), shaping[:, 0] if shaping.shape[1] == 1 else shaping)
        sizes = [tree.tree_.node_count for tree in self._forest.estimators_]
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        self._nodes, self._targets, self._blocks, self._sharpen = int(np.sum(sizes)), targets, blocks, sharpen
        self._leaves = self.find(features)
        self._all = self._tabulate(None)

    def find(self, features: Floats) -> Places:
        """The leaf of each row in each tree, (n, trees)."""
        if not len(features):
            return np.empty((0, TREES), np.int64)
        return np.asarray(self._forest.apply(features.astype(np.float32)), np.int64) + self._starts

    def average(self, leaves: Places, without: int | None = None) -> Floats:
        """Means of the targets over the trees for rows in these leaves, (n, k); on request without one block's rows.

        A leaf that holds rows of that block only tells the mean of all others.
        """
        return _average(self._all if without is None else self._tabulate(without), leaves)

    def _tabulate(self, without: int | None) -> Floats:
        """What each leaf tells, (nodes, k)."""
        kept = slice(None) if without is None else self._blocks.of_row != without
        leaves, targets = self._leaves[kept], self._targets[kept]
        means, rows = self._mean(leaves, targets)
        if not self._sharpen:
            return means
        sums = means * rows[:, None]
        others = np.zeros_like(targets)
        for tree in range(leaves.shape[1]):  # each row is foretold by the others only
            place = leaves[:, tree]
            others += (sums[place] - targets) / np.maximum(rows[place] - 1, 1)[:, None]
        return means + self._mean(leaves, targets - others / leaves.shape[1])[0]

    def _mean(self, leaves: Places, targets: Floats) -> tuple[Floats, Floats]:
        """Means (nodes, k) and rows (nodes,); where there is no row the mean of all."""
        cells = leaves.ravel()
        rows = np.bincount(cells, minlength=self._nodes).astype(np.float64)
        means = np.empty((self._nodes, targets.shape[1]))
        for column in range(targets.shape[1]):
            sums = np.bincount(cells, np.repeat(targets[:, column], leaves.shape[1]), self._nodes)
            means[:, column] = np.where(rows > 0, sums / np.maximum(rows, 1), targets[:, column].mean())
        return means, rows


def _average(means: Floats, leaves: Places) -> Floats:
    total = np.zeros((len(leaves), means.shape[1]))
    for tree in range(leaves.shape[1]):  # in this order for each row, so that no cut into chunks shows
        total += means[leaves[:, tree]]
    return np.asarray(total / leaves.shape[1])
