"""Stand-in data files of Geant4 with other cross-sections, to see how much depends on them."""

from pathlib import Path


def scale_stand_ins(folder: Path, bremsstrahlung: float, neutron_length: float) -> None:
    """Change the files that `zdc_training.simulator.stand_in.write_stand_ins` wrote to a folder.

    Parameters
    ----------
    bremsstrahlung : Factor on the cross-section.
    neutron_length : Factor on the interaction length.
    """
    for path in folder.glob("emlow/brem_SB/br*"):
        head, rows = path.read_text().splitlines()[:3], path.read_text().splitlines()[3:]
        path.write_text("\n".join([*head, *(_scaled(row, bremsstrahlung) for row in rows)]) + "\n")
    for path in folder.glob("particlexs/neutron/inel*"):
        lines = path.read_text().splitlines()
        values = [line.split() for line in lines[2:]]
        shorter = [f"{energy} {float(value) / neutron_length:.10g}" for energy, value in values]
        path.write_text("\n".join([*lines[:2], *shorter]) + "\n")


def _scaled(row: str, factor: float) -> str:
    return " ".join(f"{float(value) * factor:.6g}" for value in row.split())
