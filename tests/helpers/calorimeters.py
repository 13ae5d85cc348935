"""Calorimeters for tests."""

from zdc_detector.calorimeters import find_calorimeter

ZN, ZP = find_calorimeter("ZN"), find_calorimeter("ZP")
