"""Calorimeters for tests."""

import tomllib

from zdc_detector.calorimeter import Calorimeter
from zdc_detector.calorimeters import find_calorimeter

ZN, ZP = find_calorimeter("ZN"), find_calorimeter("ZP")

#: Nothing is as in ZN: a rectangle beside the beam axis with cells that are not square, three channels and fibres
#: without a channel.
BOARD_TOML = """
name = "BOARD"
shape = [12, 8]
half_width = [6.0, 2.0]
centre = [-9.0, 2.5]
face_z = 3500.0
channel_names = ["inner half", "outer half", "rim"]
channel_map = [
    "33333333",
    "31111113", "31111113", "31111113", "31111113", "31111113",
    "32222223", "32222223", "32222223", "32222223", "32222223",
    "333..333",
]
"""

BOARD = Calorimeter.model_validate(tomllib.loads(BOARD_TOML))
