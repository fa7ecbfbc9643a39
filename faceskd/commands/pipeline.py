"""`faceskd pipeline`: the quick start."""

from omegaconf import DictConfig
from rich.console import Console

from faceskd.common.config import hydra_main, to_plain
from faceskd.common.files import make_folder


@hydra_main("pipeline")
def main(cfg: DictConfig) -> None:
    """Run all stages; end with the table and the path of the report."""
    from faceskd.jobs.stages import read_stages, run_pipeline
    from faceskd.reproduce.quickstart import show_quickstart, write_quickstart_report

    make_folder(cfg.out)
    console = Console()
    synthetic = cfg.photos is None
    if synthetic:
        cfg.photos = f"{cfg.out}/portraits"
    options = to_plain(cfg)
    skip = () if synthetic else ("portraits",)
    stages = read_stages(options["stages"], options["training"], skip=skip)
    outcomes = run_pipeline(stages, cfg.out, restart=cfg.restart, console=console)
    report = write_quickstart_report(cfg.out, outcomes, synthetic=synthetic)
    show_quickstart(cfg.out, report, console)


if __name__ == "__main__":
    main()
