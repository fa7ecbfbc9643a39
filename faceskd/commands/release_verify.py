"""`faceskd release verify`: are the released models what their cards say?"""

from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from faceskd.common.config import hydra_main
from faceskd.reporting.tables import rich_table, write_csv
from faceskd.reproduce.verify import FAILED, verify_release

EXIT_FAILED = 1


@hydra_main("release_verify")
def main(cfg: DictConfig) -> None:
    """Print what was recomputed; the exit status is 1 where something differs or is missing."""
    checks = verify_release(cfg.models_folder, photos=cfg.photos, faces=cfg.faces)
    rows = [asdict(check) for check in checks]
    Console().print(rich_table(rows))
    if cfg.report is not None:
        write_csv(Path(cfg.report), rows)
    raise SystemExit(EXIT_FAILED if any(check.status in FAILED for check in checks) else 0)


if __name__ == "__main__":
    main()
