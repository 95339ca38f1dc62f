"""``train``: fit one network, report on it, save it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlpcore import plots
from mlpcore.cli.files import output_folder, refuse_to_overwrite
from mlpcore.cli.fitting import (
    Scaled,
    confusion,
    describe_data,
    describe_training,
    first_network,
    nothing_learned,
    report_fit,
    save_fit,
    scale,
)
from mlpcore.cli.options import step_settings
from mlpcore.cli.pictures import draw_confusion, save_picture
from mlpcore.cli.problem import Problem, Split, read_problem, split_rows, without_constants
from mlpcore.cli.report import INTERRUPTED, UserError, complain, one_line, say
from mlpcore.network import Network
from mlpcore.training import TrainResult, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Run the subcommand; return the exit status."""
    steps = step_settings(options)
    problem = read_problem(options)
    folder = output_folder(options.output_dir)
    model_file, picture_file = (folder / f"{problem.title}{suffix}" for suffix in (".npz", ".png"))
    refuse_to_overwrite(options.file, model_file, picture_file)
    split = split_rows(problem, options)
    problem = without_constants(problem, split.training)

    net, w = first_network(problem, options, options.hidden)
    what = "classification" if problem.labels else "regression"
    describe_data(problem, split, options, what)
    sizes = "-".join(map(str, net.layers))
    hidden = ", ".join(dict.fromkeys(net.hidden)) or "no hidden layer"
    say(f"Network   {sizes}, {hidden}, {net.n_weights} weights")
    patience = options.patience if len(split.validation) and options.patience else None
    describe_training(options, steps, patience)

    scaled = scale(problem, split.training)
    result = _fit(net, w, scaled, split, options, steps, patience)
    if nothing_learned(result):
        complain("interrupted before anything was learned; nothing was saved")
        return INTERRUPTED
    # Before anything else can go wrong.
    model, fit = save_fit(model_file, net, result, problem, split, scaled, options)
    if result.stopped == "diverged":
        complain(f"warning: {result.message}")
    say(f"Stopped   {one_line(result.message)}")
    say(
        f"          after epoch {result.n_epochs}, {result.seconds:.1f} s; "
        f"best epoch {result.best_epoch}"
    )
    report_fit(problem, split, scaled, model, fit)
    say()
    say(f"Model     {model_file}")
    if not options.no_plot:
        say(f"Picture   {_picture(picture_file, problem, split, scaled, result, fit.y)}")
    return 0


def _fit(
    net: Network,
    w: NDArray[np.float64],
    scaled: Scaled,
    split: Split,
    options: argparse.Namespace,
    steps: dict[str, Any],
    patience: int | None,
) -> TrainResult:
    held_out = len(split.validation) > 0
    X, T = scaled.X, scaled.T
    try:
        result: TrainResult = train(
            net,
            w,
            X[split.training],
            T[split.training],
            X[split.validation] if held_out else None,
            T[split.validation] if held_out else None,
            optimizer=options.optimizer,
            epochs=options.epochs,
            weight_decay=options.weight_decay,
            patience=patience,
            seed=options.seed,
            progress=True,
            **steps,
        )
    except (ValueError, TypeError) as error:
        raise UserError(one_line(error)) from error
    return result


def _picture(
    file: Path,
    problem: Problem,
    split: Split,
    scaled: Scaled,
    result: TrainResult,
    y: NDArray[np.float64],
) -> str:
    """Draw and save the picture; return its name, or why there is none."""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        test = split.test
        if scaled.targets is None:
            plots.learning_curves(result, left)
            left.set_ylabel("cross-entropy per row")
            counts = confusion(problem.t[test], y[test])
            title = f"test, {np.trace(counts) / len(test):.1%} right"
            draw_confusion(
                counts, [*map(str, problem.labels)], right, name=problem.label, title=title
            )
            return
        unit = float(scaled.targets.scale[0])
        plots.learning_curves(result, left, rms_unit=unit, unit=problem.unit)
        plots.predicted_against_true(
            problem.t[test],
            y[test],
            right,
            training=(problem.t[split.training], y[split.training]),
            name=problem.label,
            unit=problem.unit,
        )

    return save_picture(file, draw)
