"""What rows like these had: means of targets in the leaves of a random forest (Breiman 2001), block by block.

The forest only decides which rows are alike; what they had is read off all reference rows of a leaf. So the same forest
tells any number of targets, and the means without a block of rows need no second fit: how much the answer hangs on the
few days or groups that it was learned from. Where a row lies outside of all that was seen, it gets the mean of the rows
at that edge, and nothing is extrapolated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.stats.intervals import Blocks

TREES = 40
Floats = NDArray[np.float64]


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
        seed: int,
    ) -> None:
        from sklearn.ensemble import RandomForestRegressor  # a second of imports that a help text does not need

        self._forest = RandomForestRegressor(TREES, min_samples_leaf=smallest, max_features=tried, random_state=seed)
        self._forest.fit(features.astype(np.float32), shaping[:, 0] if shaping.shape[1] == 1 else shaping)
        sizes = [tree.tree_.node_count for tree in self._forest.estimators_]
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        nodes, count, width = int(np.sum(sizes)), blocks.count, targets.shape[1]
        leaves = self.find(features)
        cells = (leaves * count + blocks.of_row[:, None]).ravel()
        rows = np.bincount(cells, minlength=nodes * count).reshape(nodes, count)
        used = np.flatnonzero(rows.sum(axis=1))
        self._place = np.zeros(nodes, np.int64)
        self._place[used] = np.arange(len(used))
        self._rows = rows[used].astype(np.float64)
        self._sums = np.empty((width, len(used), count))
        for column in range(width):
            weight = np.repeat(targets[:, column], leaves.shape[1])
            self._sums[column] = np.bincount(cells, weight, nodes * count).reshape(nodes, count)[used]
        self._whole = np.array([np.bincount(blocks.of_row, targets[:, c], count) for c in range(width)])
        self._size = np.bincount(blocks.of_row, minlength=count).astype(np.float64)

    def find(self, features: Floats) -> NDArray[np.int64]:
        """The leaf of each row in each tree, (n, trees)."""
        if not len(features):
            return np.empty((0, TREES), np.int64)
        return np.asarray(self._forest.apply(features.astype(np.float32)), np.int64) + self._starts

    def average(self, leaves: NDArray[np.int64], without: int | None = None) -> Floats:
        """Means of the targets over the trees for rows in these leaves, (n, k); on request without one block's rows.

        A leaf that holds rows of that block only tells the mean of all others.
        """
        means = self._tabulate(without)
        total = np.zeros((len(leaves), means.shape[1]))
        for tree in range(leaves.shape[1]):  # in this order for each row, so that no cut into chunks shows
            total += means[self._place[leaves[:, tree]]]
        return np.asarray(total / leaves.shape[1])

    def _tabulate(self, without: int | None) -> Floats:
        """(leaves, k)"""
        rows, sums, whole, size = self._rows.sum(1), self._sums.sum(2), self._whole.sum(1), self._size.sum()
        if without is not None:
            rows, sums = rows - self._rows[:, without], sums - self._sums[:, :, without]
            whole, size = whole - self._whole[:, without], size - self._size[without]
        with np.errstate(divide="ignore", invalid="ignore"):
            means = np.where(rows > 0, sums / rows, (whole / size)[:, None])
        return np.ascontiguousarray(means.T)
