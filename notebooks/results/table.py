"""Tables and figures of every log: `python -m notebooks.results.table` writes README.md and *.svg beside this file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from notebooks.results.study import ORIGINAL, Run, read

HERE = Path(__file__).parent
HEAD = """# Results

Every line below is made by the scripts of this folder; `logs/` has each run with its seed, times and shares. Accuracy
is that of the test split, read once at the end of a run; mean and standard deviation over the seeds, in per cent. The
original was trained on for as many epochs as the pruned networks were after their cut. Speed-up is the original's MACs
over what is left; latency is the share of the original's median time for one example on one thread, timed in turns
with it while other work was running, so it is rough. *Statistics anew*: with the running means and variances of
normalisation layers measured again and nothing else. Units are ranked by magnitude, or *by Taylor*, first order, from
the gradients of some batches to train on. The recovery, and the original's training on, begin at a quarter of the
training's learning rate; at the whole rate in the speed-ups of dgcnn, lstm and vit, and where the name says so.
*Distilled*: the recovery also learns the answers of the original that was trained on for as many epochs, or for ten
where the name says so. *In steps*: five cuts of equal proportion, a twentieth of the recovery after each of the first
four.
"""
GLANCE = """## Speed-ups at a glance

Accuracy on the test split; for each speed-up the way to cut and to rank that did best on the validation split, seed
by seed. In parentheses the change against the original, trained on for as long, in points.
"""
PREFIX = "speed-ups-"


def main() -> None:
    mpl.rcParams["svg.hashsalt"] = "prunescope"  # the same picture for the same runs
    found = {log: runs for log in sorted((HERE / "logs").glob("*.jsonl")) if (runs := read(log))}
    parts = [HEAD, _glance([runs for log, runs in found.items() if log.stem.startswith(PREFIX)])]
    # the headline first, and the same with more epochs
    for log in sorted(found, key=lambda log: (not log.stem.startswith("headline"), log.stem)):
        parts.append(_section(log, found[log]))
    (HERE / "README.md").write_text("\n".join(parts))


def _glance(studies: Sequence[Sequence[Run]]) -> str:
    """A line for each study, a column for each speed-up."""
    asked = sorted({run.speed_up for runs in studies for run in runs if run.method != ORIGINAL})
    lines = [
        f"| | original | {' | '.join(f'{speed_up:g}×' for speed_up in asked)} |",
        f"|---|---|{'---|' * len(asked)}",
    ]
    for runs in studies:
        original = [run for run in runs if run.method == ORIGINAL]
        cells = [_best(runs, original, speed_up) for speed_up in asked]
        lines.append(f"| {runs[0].task} | {_spread(original)} | {' | '.join(cells)} |")
    return "\n".join([GLANCE, *lines, ""])


def _best(runs: Sequence[Run], original: Sequence[Run], speed_up: float) -> str:
    """Of each seed the run that validation prefers; nothing where no cut of this size can be had."""
    tried = [run for run in runs if run.speed_up == speed_up and run.method != ORIGINAL]
    seeds = sorted({run.seed for run in tried} & {run.seed for run in original})
    chosen = [max((run for run in tried if run.seed == seed), key=lambda run: run.validation) for seed in seeds]
    if not chosen:
        return "–"
    change = 100 * (mean(run.test for run in chosen) - mean(run.test for run in original if run.seed in seeds))
    return f"{_spread(chosen)} ({change:+.1f})"


def _section(log: Path, runs: Sequence[Run]) -> str:
    head = json.loads(log.read_text().splitlines()[0])
    _figure(log.stem, runs)
    seeds = sorted({run.seed for run in runs})
    minutes = sum(run.seconds for run in runs) / 60
    return "\n".join(
        [
            f"## {log.stem}\n",
            f"{head['name']}: {head['data']}. {head['epochs']} epochs of training, {head['tuning_epochs']} after the "
            f"cut; seeds {', '.join(map(str, seeds))}. {head['machine']}, {head['threads']} thread, torch "
            f"{head['torch']}; {minutes:.0f} minutes of cutting and recovering in all.\n",
            f"![Accuracy against speed-up]({log.stem}.svg)\n",
            "| | ranked | speed-up | latency | right after the cut (validation) | statistics anew (validation) "
            "| after recovery (test) | runs |",
            "|---|---|---|---|---|---|---|---|",
            *(_row(cell) for cell in _cells(runs)),
            "",
        ]
    )


def _cells(runs: Iterable[Run]) -> list[list[Run]]:
    found: dict[tuple[str, str, float], list[Run]] = {}
    for run in runs:
        found.setdefault((run.method, run.scope, run.speed_up), []).append(run)
    return list(found.values())


def _row(cell: Sequence[Run]) -> str:
    first = cell[0]
    speed_up = mean(1 / run.macs for run in cell)
    uncut = first.speed_up == 1
    after = "" if uncut else f"{100 * mean(run.after_cut for run in cell):.1f}"
    known = [] if uncut else [s for run in cell if (s := run.after_statistics) is not None]
    anew = f"{100 * mean(known):.1f}" if known else ""
    shares = (f"{speed_up:.2f}", f"{mean(run.latency for run in cell):.2f}")
    return (
        f"| {first.method} | {first.scope} | {' | '.join(shares)} | {after} | {anew} | {_spread(cell)} | {len(cell)} |"
    )


def _spread(cell: Sequence[Run]) -> str:
    values = [100 * run.test for run in cell]
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def _figure(name: str, runs: Sequence[Run]) -> None:
    """Accuracy against speed-up, or side by side where all cuts have the same one."""
    cut = [run for run in runs if run.speed_up > 1]
    alike = len({run.speed_up for run in cut}) == 1
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharex=not alike, sharey=alike)
    (_draw_bars if alike else _draw_curves)(axes, cut)
    for cell, style in zip(_cells(run for run in runs if run.speed_up == 1), ("-", ":"), strict=False):
        line = {"color": "0.6", "linewidth": 1, "linestyle": style, "label": cell[0].method}
        (axes[1].axvline if alike else axes[1].axhline)(100 * mean(run.test for run in cell), **line)
    axes[0].set(title="right after the cut, validation")
    axes[1].set(title="after recovery, test")
    axes[1].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(HERE / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def _draw_bars(axes: Any, cut: Sequence[Run]) -> None:
    cells = _cells(cut)[::-1]
    names = [f"{cell[0].method}, {cell[0].scope}" for cell in cells]
    after_cut, tests = _means(cells)
    axes[0].bar_label(axes[0].barh(names, after_cut, height=0.6), fmt="%.1f", padding=3, fontsize=8)
    axes[0].set(xlabel="accuracy, %", xlim=(0, 105))
    # a few tenths apart, which bars from zero would not show
    axes[1].plot(tests, names, "o")
    for place, value in enumerate(tests):
        axes[1].annotate(f"{value:.1f}", (value, place), (0, 6), textcoords="offset points", ha="center", fontsize=8)
    axes[1].set(xlabel="accuracy, %", xlim=(min(tests) - 0.3, max(tests) + 0.5))


def _draw_curves(axes: Any, cut: Sequence[Run]) -> None:
    curves: dict[tuple[str, str], list[list[Run]]] = {}
    for cell in _cells(cut):
        curves.setdefault((cell[0].method, cell[0].scope), []).append(cell)
    methods = list(dict.fromkeys(method for method, _ in curves))
    for (method, scope), cells in curves.items():
        style = {"color": f"C{methods.index(method)}", "linestyle": "-" if scope == "local" else "--", "marker": "."}
        x = [mean(1 / run.macs for run in cell) for cell in cells]
        after_cut, tests = _means(cells)
        axes[0].plot(x, after_cut, **style)
        axes[1].plot(x, tests, label=f"{method}, {scope}", **style)
    axes[0].set(ylabel="accuracy, %")
    for ax in axes:
        ax.set(xlabel="speed-up (MACs)")


def _means(cells: Sequence[Sequence[Run]]) -> tuple[list[float], list[float]]:
    """Accuracy in per cent of every cell: right after the cut, and of the test split."""
    after_cut = [100 * mean(run.after_cut for run in cell) for cell in cells]
    return after_cut, [100 * mean(run.test for run in cell) for cell in cells]


if __name__ == "__main__":
    main()
