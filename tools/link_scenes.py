"""Link the photographs among Debian's wallpapers, to train `experiment=scene` on.

    python tools/link_scenes.py SCENES

Needs the packages plasma-workspace-wallpapers, mate-backgrounds and lomiri-wallpapers; their
licences are in /usr/share/doc. Their other pictures are drawn, or small versions of one photograph.
"""

import sys
from pathlib import Path

SHARED = Path("/usr/share")
TRAIN = (
    *(f"backgrounds/{name}.jpg" for name in (
        "Bridge_by_Sander_Klootwijk", "Dragonfly_by_Bolly", "Kleiber_by_Lukas_Baubkus",
        "Picture_0B_by_freespace", "Picture_1A_by_freespace", "aitzgorri_by_Aitzol_Berasategi",
        "free_by_Peter_Nerlich", "greentock_by_Peter_Nerlich", "life_by_Aitzol_Berasategi",
        "picosdeeuropa_by_Aitzol_Berasategi", "seeding_by_Clements_Engelhardt",
        "sunset_by_Aitzol_Berasategi",
    )),
    *(f"backgrounds/mate/nature/{name}.jpg" for name in (
        "Aqua", "Blinds", "FreshFlower", "GreenMeadow", "LadyBird", "RainDrops", "Storm",
        "TwoWings", "Wood", "YellowFlower",
    )),
    *(f"wallpapers/{name}/contents/images/2560x1600.jpg" for name in (
        "BytheWater", "ColdRipple", "EveningGlow", "FallenLeaf", "Kite", "OneStandsOut",
        "summer_1am",
    )),
)  # fmt: skip
VAL = (
    "backgrounds/Wine_by_Jakkub_Mede.jpg",
    "backgrounds/friends_by_Aitzol_Berasategi.jpg",
    "backgrounds/mate/nature/Dune.jpg",
    "backgrounds/mate/nature/Garden.jpg",
    "wallpapers/Path/contents/images/2560x1600.jpg",
)


def main(folder: str) -> None:
    """Link the photographs into the folders train and val."""
    missing = [name for name in (*TRAIN, *VAL) if not (SHARED / name).is_file()]
    if missing:
        sys.exit(
            f"expected {len(TRAIN) + len(VAL)} photographs in {SHARED}, {len(missing)} are "
            f"missing, such as {missing[0]}; install the packages named in this file"
        )
    for split, names in (("train", TRAIN), ("val", VAL)):
        for number, name in enumerate(names):
            link = Path(folder) / split / f"{number:02d}-{Path(name).name}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(SHARED / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
