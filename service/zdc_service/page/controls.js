// The form with the visitor's choices.

import { Problem } from "./api.js";
import { Face } from "./face.js";
import { drawnToFace, slider } from "./geometry.js";

const by = (id) => document.getElementById(id);
const NUMBERS = { energy: "Energy", x: "x of the impact point", y: "y of the impact point", vz: "Vertex z" };

/** A random seed: an integer that every JSON reader represents exactly, and that is short enough to read aloud. */
const drawSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

export class Controls {
  /** `changed` is called after each change of a choice, `chosen(summary)` after the choice of a model. */
  constructor(changed, chosen) {
    this.changed = changed;
    this.face = new Face(by("face"), by("face-point"), (x, y) => this.#pointTo(x, y));
    by("model").addEventListener("change", () => chosen(this.model));
    by("species").addEventListener("change", () => {
      this.#showSpecies();
      changed();
    });
    by("energy-slider").addEventListener("input", () => {
      by("energy").value = slider.energy(Number(by("energy-slider").value), this.species.energy);
      this.#showEnergy();
      changed();
    });
    by("energy").addEventListener("input", () => {
      this.#showEnergy();
      changed();
    });
    for (const id of ["x", "y"]) {
      by(id).addEventListener("input", () => {
        this.face.show(by("x").valueAsNumber, by("y").valueAsNumber);
        changed();
      });
    }
    for (const id of ["vz", "repeats"]) by(id).addEventListener("input", changed);
    by("seed").addEventListener("input", () => {
      by("keep-seed").checked = true;
      changed();
    });
    by("keep-seed").addEventListener("change", changed);
    by("controls").addEventListener("submit", (event) => {
      event.preventDefault();
      changed();
    });
    by("vz").value = 0;
    by("repeats").value = 100;
  }

  /** Show the models of `/models`. Returns the model to begin with, and whether it has the requested name and version. */
  offer(models, { model: name, version } = {}) {
    this.models = models;
    const label = (model) => `${model.name} version ${model.version}${model.default ? " (default)" : ""}`;
    by("model").replaceChildren(...models.map((model) => new Option(label(model))));
    // Requests that name no model use the newest version of the default model.
    const best = (some) => some.reduce((a, b) => ((b.default - a.default || b.version - a.version) > 0 ? b : a));
    const named = models.filter((model) => model.name === name && (version ?? String(model.version)) === String(model.version));
    const model = best(named.length ? named : models);
    by("model").selectedIndex = models.indexOf(model);
    return [model, name === undefined || named.length > 0];
  }

  /** The chosen model, an entry of `/models`. */
  get model() {
    return this.models[by("model").selectedIndex];
  }

  /** Whether `card` belongs to the chosen model. */
  get adopted() {
    return this.card?.name === this.model.name && this.card?.version === this.model.version;
  }

  /** Use the species and the face of a model's card; choices that are still valid are kept. */
  adopt(card) {
    const before = this.species?.pdg;
    this.card = card;
    by("controls").inert = false; // before the first card, there are no choices
    const { species, vertex } = card.ranges;
    by("species").replaceChildren(...species.map(({ name, pdg }) => new Option(`${name} (${pdg})`, pdg)));
    const known = [before, NEUTRON].find((code) => species.some(({ pdg }) => pdg === code));
    by("species").value = known ?? species[0].pdg;
    [by("vz").min, by("vz").max] = vertex[2];
    this.face.of(card.calorimeter);
    const point = [by("x").valueAsNumber || 0, by("y").valueAsNumber || 0];
    this.#write(...drawnToFace(card.calorimeter, ...point));
    this.#showSpecies();
  }

  get species() {
    return this.card?.ranges.species.find(({ pdg }) => String(pdg) === by("species").value);
  }

  /** The choices as numbers; throws Problem if a field is not a number. The seed is random unless it is kept. */
  values() {
    const chosen = { pdg: this.species.pdg };
    for (const [id, name] of Object.entries(NUMBERS)) {
      chosen[id] = by(id).valueAsNumber;
      if (!Number.isFinite(chosen[id])) throw new Problem("form", `${name} must be a number.`);
    }
    chosen.repeats = by("repeats").valueAsNumber;
    if (!Number.isInteger(chosen.repeats)) throw new Problem("form", "Repeats must be a whole number.");
    if (!by("keep-seed").checked) by("seed").value = drawSeed();
    chosen.seed = by("seed").valueAsNumber;
    if (!Number.isInteger(chosen.seed)) throw new Problem("form", "The seed must be a whole number.");
    return chosen;
  }

  /** Set the choices to the particle of an example. */
  goTo({ energy, x, y, vz }) {
    by("energy").value = Number(energy.toPrecision(6));
    by("vz").value = Number(vz.toFixed(3));
    this.#write(Number(x.toFixed(4)), Number(y.toFixed(4)));
    this.#showEnergy();
  }

  /** Set the choices from an address; `wanted` has strings by name. */
  take(wanted) {
    if (wanted.pdg !== undefined) {
      by("species").value = wanted.pdg;
      if (!this.species) {
        by("species").selectedIndex = 0;
        throw new Problem("form", `The address has PDG code ${wanted.pdg}, which ${this.card.name} does not know; choose a species.`);
      }
      this.#showSpecies();
    }
    for (const id of [...Object.keys(NUMBERS), "repeats", "seed"]) {
      if (wanted[id] !== undefined) by(id).value = Number.isFinite(Number(wanted[id])) ? Number(wanted[id]) : "";
    }
    by("keep-seed").checked = wanted.seed !== undefined;
    this.#showEnergy();
    this.face.show(by("x").valueAsNumber, by("y").valueAsNumber);
  }

  get keepsSeed() {
    return by("keep-seed").checked;
  }

  #showSpecies() {
    const [low, high] = this.species.energy;
    Object.assign(by("energy"), { min: low, max: high });
    by("energy-range").textContent = `Trained range of ${this.card.name} for ${this.species.name}: ${low} to ${high} GeV.`;
    const energy = by("energy").valueAsNumber;
    if (!(energy >= low && energy <= high)) by("energy").value = Number(Math.sqrt(low * high).toPrecision(2));
    this.#showEnergy();
  }

  #showEnergy() {
    const energy = by("energy").valueAsNumber;
    const range = this.species.energy;
    if (energy > 0) by("energy-slider").value = slider.position(energy, range);
    by("energy-slider").setAttribute("aria-valuetext", `${energy} GeV`);
    by("energy").setAttribute("aria-invalid", String(!(energy >= range[0] && energy <= range[1])));
  }

  #pointTo(x, y) {
    this.#write(x, y);
    this.changed();
  }

  #write(x, y) {
    by("x").value = x;
    by("y").value = y;
    this.face.show(x, y);
  }
}

// The first choice: zero degree calorimeters are made for neutrons. If a model does not know them, its first species.
const NEUTRON = 2112;
