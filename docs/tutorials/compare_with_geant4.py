# A notebook as a Python file: each `# %%` begins a cell. The documentation site runs it and shows its output.
# Editors and Jupyter with Jupytext open it as a notebook. Run it in the root of a checkout.

# %% [markdown]
# # Tutorial: compare responses with Geant4
#
# You simulate test particles with the model `zn-fast`, look at the responses, and compare them with Geant4 showers of
# the same particles. No server is needed: the model runs in this process. It takes some seconds on one core.
#
# [Download this page as a notebook](compare-with-geant4.ipynb). Run it in the root folder of a checkout, after
#
#     pip install ".[cpu,validate]"
#
# This page was made by running the notebook.

# %% [markdown]
# ## 1. Particles
#
# `training/data/zn_geant4_test.h5` has 300 particles. Geant4 simulated each of them five times. No model was trained on
# them. `by_particle` groups the five showers of each particle.
# Responses have four axes: particle, repeat, fibre along x, fibre along y.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from zdc_detector.showers import read_showers
from zdc_metrics import by_particle

geant4 = by_particle(read_showers(Path("training/data/zn_geant4_test.h5")))
particles = geant4.particles
print("particles:", len(particles))
print("responses:", geant4.responses.shape)
print("photons of the first particle:", geant4.responses[0].sum(axis=(1, 2)))

# %% [markdown]
# The last line shows why one response per particle is not enough: Geant4 gives a different number of photons each time.
# A shower is a random process. A good model has the same distribution of responses, not the same response.

# %% [markdown]
# ## 2. Responses
#
# `connect()` without an address simulates in this process. With an address, such as `connect("grpc://127.0.0.1:8001")`,
# a server simulates, and gives exactly the same photons. `repeats` is the number of responses of each particle. The
# same seed gives the same photons again.

# %%
from zdc_service.client import connect

with connect() as client:
    result = client.run(particles, seed=7, repeats=20)
print(result.model, result.version)
print("images:", result.images.shape, result.images.dtype)
print("channels:", result.channels.shape, result.channel_names)

# %% [markdown]
# There is one row for each repeat of each particle: first all repeats of particle 0, then those of particle 1. We give
# the arrays the same shape as Geant4's.

# %%
generated = result.images.reshape(len(particles), 20, *geant4.calorimeter.shape)
print(generated.shape)

# %% [markdown]
# ## 3. Pictures
#
# Two simulations of one neutron and two responses of the model, on one logarithmic colour scale. Fibres without photons
# are white. x goes to the right, y goes up. In our arrays, x is the first axis: `imshow` needs the transposed image.

# %%
is_neutron = particles.pdg == 2112
brightest = np.argmax(geant4.responses.sum(axis=(1, 2, 3)) * is_neutron)
images = [*geant4.responses[brightest, :2], *generated[brightest, :2]]
titles = ["Geant4", "Geant4", "zn-fast", "zn-fast"]
half_x, half_y = geant4.calorimeter.half_width
extent = (-half_x, half_x, -half_y, half_y)
scale = LogNorm(1, np.max(images))
figure, panels = plt.subplots(1, 4, figsize=(11, 3), sharey=True, layout="constrained")
for axes, image, title in zip(panels, images, titles, strict=True):
    drawn = axes.imshow(image.T, origin="lower", extent=extent, norm=scale)
    axes.set(title=f"{title}: {image.sum()} photons", xlabel="x [cm]")
panels[0].set_ylabel("y [cm]")
figure.colorbar(drawn, ax=panels, label="photons in a fibre")
print(f"a neutron of {particles.conditions[brightest, 0]:.0f} GeV")

# %% [markdown]
# ## 4. Distributions
#
# The photon sum is the number of photons in all fibres. We compare its distribution for all particles. The ratio below
# has statistical errors from Geant4's 1500 responses.

# %%
sums = {
    "Geant4": geant4.responses.sum(axis=(2, 3)),
    "zn-fast": generated.sum(axis=(2, 3)),
}
edges = np.geomspace(1, 2000, 25)
counts = {name: np.histogram(values, edges)[0] for name, values in sums.items()}
density = {name: counts[name] / sums[name].size for name in counts}
filled = counts["Geant4"] > 10
centres = np.sqrt(edges[1:] * edges[:-1])[filled]
ratio = density["zn-fast"][filled] / density["Geant4"][filled]
error = ratio / np.sqrt(counts["Geant4"][filled])

figure, (top, below) = plt.subplots(
    2, 1, sharex=True, figsize=(7, 5), height_ratios=[3, 1], layout="constrained"
)
for name, values in density.items():
    top.stairs(values, edges, label=name)
top.set(ylabel="share of responses", xscale="log")
top.legend()
below.errorbar(centres, ratio, error, fmt="o", markersize=3)
below.axhline(1, color="grey")
below.set(xlabel="photon sum", ylabel="zn-fast / Geant4", ylim=(0.5, 1.5))

# %% [markdown]
# ## 5. Figures of merit
#
# A figure of merit alone says little: two independent Geant4 simulations also differ. So we compute each figure twice:
# for the model against Geant4, and for Geant4 against Geant4. The second value is the *floor*. A perfect model reaches
# the floor. [Figures of merit](../reference/figures-of-merit.md) defines each figure.
#
# The channels are the five sums that the detector reads out: four towers and the common photomultiplier.

# %%
from zdc_metrics import (
    channel_wasserstein,
    dispersion,
    empty_share,
    fair_crps,
    mean_absolute_error,
)

rows = geant4.responses.reshape(-1, *geant4.calorimeter.shape)
real = geant4.calorimeter.channel_sums(rows).reshape(len(particles), 5, 5)
made = result.channels.reshape(len(particles), 20, 5)


def one_against_others(figure):
    """Each Geant4 shower in turn against the four others of its particle."""
    return np.mean([figure(real[:, [i]], np.delete(real, i, axis=1)) for i in range(5)])


def two_against_two(first, second):
    """Wasserstein distance of the channels, for samples of the same size."""
    return channel_wasserstein(first[:, :2].reshape(-1, 5), second[:, -2:].reshape(-1, 5))


figures = {  # zn-fast, floor
    "Wasserstein distance": [two_against_two(real, made), two_against_two(real, real)],
    "mean absolute error": [
        mean_absolute_error(real, made),
        one_against_others(mean_absolute_error),
    ],
    "CRPS": [fair_crps(real, made).mean(), one_against_others(fair_crps)],
    "share of empty responses": [empty_share(sums["zn-fast"]), empty_share(sums["Geant4"])],
}
print(f"{'':24}{'zn-fast':>8}{'floor':>8}")
for name, (value, floor) in figures.items():
    print(f"{name:24}{value:8.3f}{floor:8.3f}")
print(f"dispersion: {dispersion(sums['Geant4'], sums['zn-fast']):.3f}")

# %% [markdown]
# The first three figures are in photons. How to read them:
#
# - **Wasserstein distance, CRPS:** if the two columns agree within their errors (about 10 %), the model is as close to
#   Geant4 as Geant4 is to itself.
# - **Mean absolute error:** do not use it alone. A model that always gives the median response is below the floor.
# - **Dispersion:** the spread of the photon sum over repeats, relative to Geant4's: 1 is right. With five showers
#   of each particle, its uncertainty is 15 %.
# - **Share of empty responses:** some particles decay on the way or leave the block without light.

# %% [markdown]
# ## 6. The full report
#
# `zdc validate` computes all figures of merit with errors, by species and by energy, and writes one HTML page with
# histograms. It takes one to two minutes:
#
#     zdc simulate --input training/data/zn_geant4_test.h5 --repeats 50 --seed 7 --output generated.h5
#     zdc validate generated.h5 --reference training/data/zn_geant4_test.h5 --output report.html
#
# The same commands work with your own files: [Validate against a simulation](../how-to/validate.md).
