"""Compiled: every step of every path in one pass, as moves in a growing tree of states."""

from __future__ import annotations

import numpy as np
from numba import njit

U64 = np.uint64
_OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy"}
_SPREAD = U64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: its multiples fall evenly into a table


@njit(inline="always", **_OPTIONS)
def _slot(keys, targets, shift, key):  # type: ignore[no-untyped-def]
    """Where a key stands in the table, or the free place where it belongs.

    Without `keys` the table has a place for every key. Else it has 2**(64 - shift) and is probed linearly.
    """
    if len(keys) == 0:
        return key
    at = np.int64((U64(key) * _SPREAD) >> shift)
    while targets[at] >= 0 and keys[at] != key:
        at = (at + 1) & (len(keys) - 1)
    return at


@njit(**_OPTIONS)
def _with_room(keys, targets, weights, shift, n_keys, upper, full):  # type: ignore[no-untyped-def]
    """The table, grown if need be, with room for all keys below `upper`.

    A place for every key is seven times as fast, as long as there are no more than `full` of them. Beyond, the places
    are shared, and at least half of them stay free.
    """
    shared = len(keys) > 0
    if (shared and 2 * n_keys <= len(keys)) or (not shared and upper <= len(targets)):
        return keys, targets, weights, shift
    if upper <= full:
        size = max(2 * len(targets), upper)
        shift, new_keys = U64(0), keys
    else:
        shift = U64(63)
        while np.int64(1) << np.int64(U64(64) - shift) < 4 * n_keys:
            shift -= U64(1)
        size = np.int64(1) << np.int64(U64(64) - shift)
        new_keys = np.empty(size, np.int64)
    new_targets, new_weights = np.full(size, -1, np.int32), np.zeros(size)
    for i in range(len(targets)):
        if targets[i] >= 0:
            key = keys[i] if shared else i
            at = _slot(new_keys, new_targets, shift, key)
            if len(new_keys):
                new_keys[at] = key
            new_targets[at], new_weights[at] = targets[i], weights[i]
    return new_keys, new_targets, new_weights, shift


@njit(**_OPTIONS)
def _follow(keys, targets, weights, shift, codes, offsets, weight, k, n_channels, first, last, j, i, node):  # type: ignore[no-untyped-def]
    """Walk on from touch i of path j, as far as the table knows the way; allocates nothing, so that it is fast."""
    while j < len(weight):
        begin, end, w = offsets[j], offsets[j + 1], weight[j]
        if w > 0:
            i = max(i, begin)
            while i < end:
                at = _slot(keys, targets, shift, node * n_channels + codes[i])
                if targets[at] < 0:
                    return j, i, node
                node = np.int64(targets[at])
                if i - begin >= k:
                    weights[at] += w
                elif i - begin == k - 1:
                    first[j] = node
                i += 1
            if end - begin < k:
                first[j] = node
            last[j] = node
            node = 0
        j += 1
    return j, i, node


@njit(**_OPTIONS)
def walk(codes, offsets, weight, k, n_channels, full):  # type: ignore[no-untyped-def]
    """Walk all paths that weigh something.

    Nodes are the beginnings of paths up to k touches, in a tree below node 0. An entry of the table leads from a node
    and the next channel to a node: above depth k that is the tree's branch; at depth k, where nodes are whole states,
    it is a move, to the state without the oldest touch, and collects its weight. So a step costs one look-up.

    Parameters
    ----------
    full : the greatest table, in entries, that has a place for every node and channel

    Returns
    -------
    keys, targets, weights : the entries; key = node x channels + channel
    parent, channel, depth : (N,) the tree
    first, last : (J,) the nodes of each path's first and last state; 0 for a path without weight
    """
    keys, targets, weights, shift = np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0), U64(0)
    parent, channel, depth = np.full(256, -1), np.full(256, -1, np.int32), np.zeros(256, np.int64)
    n_nodes, n_keys = 1, 0
    first, last = np.zeros(len(weight), np.int64), np.zeros(len(weight), np.int64)
    j, i, node = 0, 0, 0
    while True:
        keys, targets, weights, shift = _with_room(
            keys, targets, weights, shift, n_keys + k + 1, (n_nodes + k) * n_channels, full
        )
        j, i, node = _follow(
            keys, targets, weights, shift, codes, offsets, weight, k, n_channels, first, last, j, i, node
        )
        if j == len(weight):
            break
        # The way is new: make the branches of its state, from the root on if it is a move.
        whole = depth[node] == k
        target = 0 if whole else node
        for step in range(i - k + 1 if whole else i, i + 1):
            key = target * n_channels + codes[step]
            at = _slot(keys, targets, shift, key)
            if targets[at] < 0:
                if n_nodes == len(parent):
                    parent, channel = np.append(parent, parent), np.append(channel, channel)
                    depth = np.append(depth, depth)
                parent[n_nodes], channel[n_nodes], depth[n_nodes] = target, codes[step], depth[target] + 1
                targets[at] = n_nodes
                if len(keys):
                    keys[at] = key
                n_nodes += 1
                n_keys += 1
            target = np.int64(targets[at])
        if whole:
            key = node * n_channels + codes[i]
            at = _slot(keys, targets, shift, key)
            targets[at] = target
            if len(keys):
                keys[at] = key
            n_keys += 1
    known = np.flatnonzero(targets >= 0)
    found = keys[known] if len(keys) else known
    return found, targets[known], weights[known], parent[:n_nodes], channel[:n_nodes], depth[:n_nodes], first, last
