"""Tables of particles as files, for the tests of their readers."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from zdc_readers import ParticleBlock, open_particles


def table(rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "pdg": rng.choice([22, 2112, 3122], rows),
        "px": rng.normal(0, 0.2, rows),
        "py": rng.normal(0, 0.2, rows),
        "pz": rng.uniform(100, 2000, rows) * rng.choice([-1, 1], rows),
        "vx": rng.normal(0, 0.01, rows),
        "vy": rng.normal(0, 0.01, rows),
        "vz": rng.normal(0, 5, rows),
        "event": np.arange(rows) // 3,
        "barcode": np.arange(rows) * 10,
    }


def write_csv(path: Path, columns: dict[str, np.ndarray]) -> Path:
    lines = [
        ",".join(columns),
        *(",".join(map(repr, row)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_zipped_csv(path: Path, columns: dict[str, np.ndarray]) -> Path:
    path.write_bytes(gzip.compress(write_csv(path, columns).read_bytes()))
    return path


def write_parquet(path: Path, columns: dict[str, np.ndarray]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def read_all(path: Path, block_rows: int = 8192) -> list[ParticleBlock]:
    return list(open_particles(path, block_rows))


FEW = pd.DataFrame({"pdg": [2112, 22, 22], "px": [0.1, 0, 0], "py": [0, 0.2, 0], "pz": [1500.0, 300, -300]})
