"""The commands of the laboratory: ablate, bench, plot, show."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import microgpt
from microgpt import data
from microgpt.cli.console import console
from microgpt.cli.options import (
    PATH,
    dtype_option,
    engine_option,
    model_config,
    model_options,
    require,
    train_options,
)
from microgpt.config import ModelConfig, TrainConfig
from microgpt.errors import UserError
from microgpt.runs.environment import environment
from microgpt.runs.folder import read_curve

RESULTS = Path("results")


def variation(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict:
    """Return {field: values} from words like lr=0.003,0.01."""
    fields = {
        field.name: field
        for config in (ModelConfig, TrainConfig)
        for field in dataclasses.fields(config)
        if field.name not in ("seed", "stop_after")
    }
    vary: dict[str, list] = {}
    for word in values:
        name, _, listed = word.partition("=")
        if name not in fields:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(fields)}")
        kind = type(fields[name].default)
        try:
            vary[name] = [_value(kind, text) for text in listed.split(",")]
        except (ValueError, KeyError):
            raise click.BadParameter(
                f"{word!r}: write {name}=A,B with values like {fields[name].default}"
            ) from None
    return vary


def _value(kind: type, text: str) -> Any:
    return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)


@click.command()
@click.option("--data", "path", type=PATH, default=data.NAMES, help="Documents, one a line.")
@click.option(
    "--vary",
    multiple=True,
    callback=variation,
    metavar="FIELD=A,B",
    help="Sweep a field of the configuration instead of the four variants; repeatable.",
)
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="So many each.")
@train_options("steps", "batch", "lr", "seed", "order", "validation", validation=0.1)
@click.option("--last", type=click.IntRange(1), default=100, show_default=True, help="Mean over.")
@engine_option
@dtype_option
@click.option("--workers", type=click.IntRange(1), help="Processes [default: one a core].")
@click.option("--scheduler", help="A Dask cluster's, tcp://..., instead of processes here.")
@click.option("--out", type=PATH, help="Folder of the comparison [default: one under results/].")
@model_options
def ablate(
    path: Path,
    vary: dict[str, list],
    seeds: int,
    last: int,
    engine: str,
    dtype: str,
    workers: int | None,
    scheduler: str | None,
    out: Path | None,
    **settings: Any,
) -> None:
    """Compare the four variants of the model, or sweep a setting.

    \b
    Examples: microgpt ablate --seeds 5
              microgpt ablate --vary lr=0.003,0.01,0.03 --seeds 3
    Trainings that are done already are not done again.
    """
    from microgpt.lab import ablation as sweeps

    require("plot", "matplotlib", "scipy")
    model = model_config(settings)
    config = TrainConfig(**settings)
    folder = out or RESULTS / ("vary-" + "-".join(vary) if vary else "ablation")
    jobs = sweeps.trainings(model, config, vary or sweeps.ABLATION, seeds, engine, dtype)
    docs = data.read_docs(path)
    sha256 = data.sha256_of(path)
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    live = console.is_terminal
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with (
        sweeps.executor(workers, scheduler) as run_on,
        Progress(*columns, TimeElapsedColumn(), console=console, disable=not live) as bar,
    ):
        task = bar.add_task("", total=len(jobs))

        def progress(done: int, training: str) -> None:
            bar.update(task, completed=done, description=training)
            if not live and (done or training):
                console.print(f"{done}/{len(jobs)}  {training or 'done before'}", markup=False)

        results = sweeps.sweep(jobs, docs, sha256, folder / "trainings", run_on, last, progress)
    about = {
        "engine": engine,
        "dtype": dtype,
        "model": dataclasses.asdict(model),
        "train": dataclasses.asdict(config),
        "vary": vary or sweeps.ABLATION,
        "seeds": seeds,
        "last": last,
        "data": {"path": str(path), "documents": len(docs), "sha256": sha256},
        "workers": scheduler or workers,
    }
    said = sweeps.write_comparison(folder, results, about, last)
    table = Table(box=None)
    for number, heading in enumerate(sweeps.headings(last)):
        table.add_column(heading, justify="right" if number else "left")
    for row in sweeps.summary(results):
        table.add_row(*sweeps.cells(row))
    wide = Console(width=console.width if live else 200)  # a pipe has no edge to wrap at
    wide.print(table)
    for line in said:
        console.print(line, markup=False)
    console.print(f"the comparison is in {folder}", markup=False)


@click.command()
@click.argument("folders", nargs=-1, required=True, type=PATH)
@click.option("--out", type=PATH, default=RESULTS / "plot.png", show_default=True)
def plot(folders: tuple[Path, ...], out: Path) -> None:
    """Draw the losses of runs in one picture, board and host alike.

    Example: microgpt plot runs/a runs/b
    """
    from microgpt.plots.curves import draw_curves

    require("plot", "matplotlib")
    curves = [read_curve(folder) for folder in folders]
    out.parent.mkdir(parents=True, exist_ok=True)
    remark = draw_curves(out, curves)
    if remark:
        raise UserError(remark)
    console.print(f"drawn: {out}", markup=False)


@click.command()
@click.argument("folder", type=PATH)
@click.argument("name", default="emma")
@click.option("--out", type=PATH, help="The picture [default: one under results/].")
def show(folder: Path, name: str, out: Path | None) -> None:
    """Draw a model's attention, embeddings and next letters.

    Example: microgpt show runs/first maria
    """
    from microgpt.plots.model import draw_model

    require("plot", "matplotlib")
    model = microgpt.load(folder)
    out = out or RESULTS / f"show-{folder.name}.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    draw_model(out, model, name)
    console.print(f"drawn: {out}", markup=False)


@click.command()
@click.option("--data", "path", type=PATH, default=data.NAMES, help="Documents, one a line.")
@click.option(
    "--steps", type=click.IntRange(1), default=50, show_default=True, help="Steps in a repeat."
)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True)
@click.option("--seed", default=42, show_default=True)
@click.option("--chat-sized/--no-chat-sized", default=True, help="The large model too: minutes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
def bench(path: Path, steps: int, repeats: int, seed: int, chat_sized: bool, as_json: bool) -> None:
    """Time a training step of scalar and tensor, on one thread.

    Example: microgpt bench --repeats 9 --no-chat-sized
    """
    from microgpt.lab.bench import bench, bench_chat_sized

    docs = data.read_docs(path)
    with Console(stderr=True).status("warming up") as status:
        result = bench(docs, data.charset_of(docs), steps, repeats, seed, status.update)
        if chat_sized:
            result["chat_sized"] = bench_chat_sized(docs, repeats, seed, status.update)
    result = {"environment": environment(), **result}
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    machine = result["environment"]
    console.print(f"{machine['processor']}, {machine['system']}, one thread", markup=False)
    for part in (result, result.get("chat_sized")):
        if part:
            console.print(bench_table(part))
    batch = result["minibatch"]
    one, many = batch["documents_per_s"].values()
    console.print(
        f"engine tensor, minibatches of {batch['documents']}: {many:,.0f} documents a second, "
        f"one at a time {one:,.0f}: {batch['speedup']:.1f} times as many",
        markup=False,
    )


def bench_table(part: dict[str, Any]) -> Table:
    """Return the figures of one model as a table."""
    about = part["protocol"]
    table = Table(
        box=None,
        title=f"{about['parameters']:,} parameters, a document a step, medians of "
        f"{about['repeats']} repeats of {about['steps']} steps",
        title_justify="left",
        title_style="",
    )
    table.add_column("engine", no_wrap=True)
    for heading in ("µs a step", "steps/s", "tokens/s", "times scalar"):
        table.add_column(heading, justify="right")
    for engine, row in part["engines"].items():
        mark = " (extrapolated)" if row.get("extrapolated") else ""
        values = (row[name] for name in ("us_per_step", "steps_per_s", "tokens_per_s"))
        ratio = f"{part['speedup'][engine]:,.1f}"
        table.add_row(engine + mark, *(_figure(value) for value in values), ratio)
    return table


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"
