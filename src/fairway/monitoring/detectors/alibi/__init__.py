"""Alibi Detect behind our interface: the one place that imports it.

A family is a module. `columnwise` tests each column, and one of its classes watches windows; the others
compare two samples: `joint` all columns at once, `online` a window as a stream of rows, `outliers` the
share of rows that are like none of the reference, `uncertainty` how sure the served model was. All
run from one seed on one thread, are shown no missing value and few rows, keep nothing from one window
to the next, and give p-values by permutation as (1 + k) / (1 + B), where the library gives k / B, which may
be 0. docs/drift.md has each with its source, and what of the library is not offered and why.

Alibi Detect 0.13 is under the Business Source License 1.1.
"""
