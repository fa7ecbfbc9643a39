"""`faceskd profile models=[...] out=DIR`: what networks cost, side by side."""

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress

from faceskd.config import hydra_main
from faceskd.files import make_folder
from faceskd.profile import profile_models
from faceskd.profiling.presentation import profile_table, write_profile
from faceskd.profiling.subjects import named_subjects


@hydra_main("profile")
def main(cfg: DictConfig) -> None:
    """Profile the networks of `conf/profile.yaml`."""
    make_folder(cfg.out)
    subjects = named_subjects(
        list(cfg.models), forms=list(cfg.forms), landmarks=list(cfg.boxes), atoms=cfg.atoms
    )
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        task = progress.add_task("profiling", total=cfg.warmup + cfg.repeats)
        profile = profile_models(
            subjects,
            batch_sizes=list(cfg.batch_sizes),
            threads=cfg.threads,
            warmup=cfg.warmup,
            repeats=cfg.repeats,
            device=cfg.device,
            faces=cfg.faces,
            reference=cfg.reference,
            memory=cfg.memory,
            ceiling=cfg.ceiling,
            on_turn=lambda: progress.advance(task),
        )
    write_profile(profile, cfg.out)
    console.print(profile_table(profile))


if __name__ == "__main__":
    main()
