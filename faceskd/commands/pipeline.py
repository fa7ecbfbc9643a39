"""`faceskd pipeline`: the quick start."""

from omegaconf import DictConfig
from rich.console import Console

from faceskd.commands import run_command
from faceskd.common.config import hydra_main, to_plain


@hydra_main("pipeline")
def main(cfg: DictConfig) -> None:
    """Run the jobs of `conf/pipeline.yaml`; then print the tables and the path of the report."""
    from faceskd.jobs.plan import read_plan
    from faceskd.jobs.runner import Runner
    from faceskd.reproduce.quickstart import show_quickstart, write_quickstart_report

    options = to_plain(cfg)
    console = Console()
    runner = Runner.of(options, run_command, console)
    runner.run_all(read_plan(options))
    if cfg.only is None and not (runner.unfinished or runner.failures):
        synthetic = cfg.photos is None
        report = write_quickstart_report(runner.out, runner.outcomes, synthetic=synthetic)
        show_quickstart(runner.out, report, console)
    if status := runner.report():
        raise SystemExit(status)


if __name__ == "__main__":
    main()
