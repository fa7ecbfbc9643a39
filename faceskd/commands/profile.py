"""`faceskd profile models=[...] out=DIR`: the speed and memory of networks."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig
from rich.console import Console

from faceskd.common.config import hydra_main, listed, to_plain
from faceskd.common.files import make_folder
from faceskd.profiling.named import Exports, named_subjects
from faceskd.profiling.presentation import left_out_lines, profile_table, write_profile
from faceskd.profiling.profile import profile_models
from faceskd.profiling.quality import read_quality, with_quality


@hydra_main("profile")
def main(cfg: DictConfig) -> None:
    """Profile networks side by side; write the report and print the table."""
    options = to_plain(cfg)
    out = make_folder(options.pop("out"))
    quality = read_quality(listed(options.pop("quality")))
    threads = listed(options.pop("threads"))
    options["batch_sizes"] = listed(options["batch_sizes"])
    side = options.pop("side")
    console = Console(stderr=True, soft_wrap=True)
    with TemporaryDirectory() as folder:
        with console.status("making the networks"):
            named = named_subjects(
                listed(options.pop("models")),
                forms=listed(options.pop("forms")),
                landmarks=listed(options.pop("boxes")),
                atoms=options.pop("atoms"),
                side=side,
                exports=Exports(Path(folder), options.pop("calibration")),
                device=options["device"],
            )
        profile = profile_models(
            named.subjects, threads=threads, left_out=named.left_out, progress=True, **options
        )
    if side is not None:
        profile = replace(profile, settings=profile.settings | {"side": side})
    profile = with_quality(profile, quality)
    write_profile(profile, out)
    console.print(profile_table(profile))
    for line in left_out_lines(profile):
        console.print(f"left out: {line}", style="yellow", markup=False)
    console.print(f"report: {out / 'profile.md'}", markup=False, highlight=False)


if __name__ == "__main__":
    main()
