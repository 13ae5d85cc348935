// The page: asks when a choice changes, drops answers that come too late, and shows the others.

import { get, nearest, Problem, simulate, token } from "./api.js";
import { drawChannels, drawSums, statistics, sums } from "./charts.js";
import { drawBar, niceEnd } from "./colours.js";
import { Controls } from "./controls.js";
import { momentum } from "./geometry.js";
import { Gallery, imageOf, SHOWN } from "./responses.js";
import { bodyOf, snippets } from "./snippets.js";

const by = (id) => document.getElementById(id);
const PAUSE_MS = 120; // a slider on its way asks for nothing
const LONGEST_WAIT_SECONDS = 30;

const galleries = {
  generated: new Gallery(by("model-gallery"), by("readout")),
  geant: new Gallery(by("geant-gallery"), by("readout")),
};
const controls = new Controls(later, (model) => during((signal) => choose(model, signal)));
let [about, result, geant, first] = [null, null, null, 0];
let [pending, timer, refused] = [null, null, 0];

/** Do something that asks the server; it ends what was asked before, and its failure is told. */
async function during(work) {
  pending?.abort();
  clearTimeout(timer);
  const mine = (pending = new AbortController());
  by("results").setAttribute("aria-busy", "true");
  try {
    await work(mine.signal);
    if (pending === mine) tell(null);
  } catch (error) {
    if (error.name === "AbortError" || pending !== mine) return;
    tell(error instanceof Problem ? error : new Problem("page", `The page failed: ${error.message}`), work);
  } finally {
    if (pending === mine) by("results").setAttribute("aria-busy", "false");
  }
}

/** What is to be asked: where nothing was learnt of the models yet, everything. */
const next = () => (controls.card ? ask : begin);

function later() {
  pending?.abort();
  clearTimeout(timer);
  timer = setTimeout(() => during(next()), PAUSE_MS);
}

function tell(problem, work) {
  const box = by("problem");
  box.hidden = problem === null;
  if (problem?.retryAfter == null) refused = 0;
  by("token-form").hidden = problem?.kind !== "unauthenticated";
  if (problem === null) return;
  box.querySelector("p").textContent = problem.message;
  by("status").textContent = result ? "Below is the answer to the last request that succeeded." : "";
  by("retry").hidden = problem.kind === "form" || problem.kind === "unauthenticated";
  by("retry").onclick = () => during(work);
  if (problem.kind === "unauthenticated") {
    hideWhatNeedsNoToken();
    by("token").focus();
  }
  if (problem.retryAfter !== null) {
    const seconds = Math.min(problem.retryAfter * 2 ** refused++, LONGEST_WAIT_SECONDS);
    box.querySelector("p").textContent += ` Trying again in ${seconds} s.`;
    timer = setTimeout(() => during(work), 1000 * seconds);
  }
}

/** Links that a browser follows without the token. */
function hideWhatNeedsNoToken() {
  for (const link of document.querySelectorAll(".needs-no-token")) link.hidden = true;
}

async function begin(signal) {
  const models = await get("models", signal);
  if (!models.length) throw new Problem("no_model", "No model is loaded on this server.");
  await adopt(controls.offer(models), signal);
  // Begin where there is something to compare with.
  const { card, species } = controls;
  const high = { pdg: species.pdg, energy: 0.4 * species.energy[1], x: 0, y: 0 };
  const { example } = await nearest(card.calorimeter.name, high, signal);
  if (example) controls.goTo(example);
  await ask(signal);
}

async function choose(model, signal) {
  await adopt(model, signal);
  await ask(signal);
}

async function adopt(model, signal) {
  const path = `models/${model.name}/${model.version}`;
  const [card, found] = await Promise.all([get(path, signal), get("about", signal)]);
  about = found; // a model that was loaded since brings its masses
  by("metrics-link").hidden = !about.metrics || token.known();
  controls.adopt(card);
}

async function ask(signal) {
  const card = controls.card;
  const chosen = controls.values();
  const mass = about.masses[chosen.pdg];
  if (mass === undefined) throw new Problem("no_mass", `The PDG table has no mass for ${chosen.pdg}: send it yourself.`);
  if (!(chosen.energy > mass * 1e-3)) {
    throw new Problem("form", `Energy must be above the mass of ${controls.species.name}, ${(mass * 1e-3).toPrecision(4)} GeV.`);
  }
  const particle = { pdg: chosen.pdg, ...momentum(card, controls.species, mass, chosen), vz: chosen.vz };
  const body = bodyOf(particle, chosen, card);
  showRequest(body, particle);
  const began = performance.now();
  const comparison = nearest(card.calorimeter.name, chosen, signal).catch((error) => ({ example: null, failed: error.message }));
  const [reply, example] = await Promise.all([simulate(body, signal), comparison]);
  result = { card, reply, images: [], milliseconds: performance.now() - began };
  result.images = reply.particle.map((_, row) => imageOf(reply.hits, row, reply.shape));
  const fits = example.example?.shape.every((number, axis) => number === reply.shape[axis]);
  geant = { ...example, example: fits ? example.example : null };
  first = 0;
  show();
}

function showRequest(body, { px, py, pz }) {
  by("momentum").textContent = `Momentum: px = ${px}, py = ${py}, pz = ${pz} GeV/c.`;
  const texts = snippets(new URL(".", document.baseURI), about.grpc_port, body, token.known());
  for (const [language, text] of Object.entries(texts)) by(language).textContent = text;
}

function show() {
  const { reply, card, images } = result;
  const example = geant.near ? geant.example : null;
  const compared = example ? example.channels.map((_, row) => imageOf(example.hits, row, example.shape)) : [];
  const largest = niceEnd([...images, ...compared].reduce((most, image) => image.reduce((a, b) => Math.max(a, b), most), 0));
  drawBar(by("colour-bar"), by("colour-ticks"), largest);
  galleries.generated.show(images.slice(first, first + SHOWN), card.calorimeter, largest, "Generated response", first);
  galleries.geant.show(compared, card.calorimeter, largest, "Geant4 response");
  const last = Math.min(first + SHOWN, images.length);
  by("shown").textContent = images.length ? `${first + 1} to ${last} of ${images.length}` : "none";
  by("previous").disabled = first === 0;
  by("next").disabled = last >= images.length;
  by("nearest").textContent = nearestInWords(geant);
  by("source").textContent = example ? `Source: ${geant.source}.` : "";
  by("go-there").hidden = !geant.example || (geant.example.distance_cm < 1e-3 && Math.abs(geant.example.energy_ratio - 1) < 1e-4);
  charts();
  const photons = sums(reply.channels);
  const { mean, spread } = statistics(photons);
  const empty = photons.filter((value) => value === 0).length;
  by("status").textContent =
    `${photons.length} response${photons.length === 1 ? "" : "s"} of ${reply.model} version ${reply.version} ` +
    `in ${Math.round(result.milliseconds)} ms, seed ${reply.seed}: ${mean.toFixed(0)} photons` +
    `${spread === null ? "" : ` ± ${spread.toFixed(0)}`}, ${empty} empty.`;
}

function charts() {
  const { reply } = result;
  const rows = geant.near && geant.example ? geant.example.channels : null;
  drawChannels(by("channels-chart"), by("channels-table"), reply.channel_names, { generated: reply.channels, geant: rows });
  drawSums(by("sum-chart"), by("sum-table"), sums(reply.channels), rows && sums(rows));
}

function nearestInWords({ example, near, failed }) {
  if (failed) return failed;
  if (!example) return "There is no test particle of this species and calorimeter to compare with.";
  const percent = Math.abs(100 * (example.energy_ratio - 1));
  const energy = percent < 0.05 ? "the same energy" : `${percent.toFixed(percent < 10 ? 1 : 0)} % ${example.energy_ratio > 1 ? "more" : "less"} energy`;
  const turned = example.turn === "none" ? "" : ` Turned to your point (${example.turn}): the face and its physics are symmetric.`;
  const what = `${example.name}, ${Number(example.energy.toPrecision(4))} GeV, at x = ${example.x.toFixed(2)}, y = ${example.y.toFixed(2)} cm`;
  const far = `${energy}, ${example.distance_cm.toFixed(2)} cm from your point`;
  return near
    ? `Nearest test particle, simulated five times: ${what} (${far}).${turned}`
    : `No test particle is near enough to compare with. The nearest is a ${what} (${far}).`;
}

function turnPages(by_) {
  first = Math.max(0, first + by_);
  show();
}

by("previous").addEventListener("click", () => turnPages(-SHOWN));
by("next").addEventListener("click", () => turnPages(SHOWN));
by("go-there").addEventListener("click", () => {
  controls.goTo(geant.example);
  later();
});
by("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (token.keep(by("token").value)) {
    by("token").value = "";
    during(next());
  } else {
    by("problem").querySelector("p").textContent = "A token has the characters A-Z, a-z, 0-9 and -._~+/ only.";
  }
});
for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", () => copy(button.dataset.copies));
}

async function copy(id) {
  const element = by(id);
  try {
    await navigator.clipboard.writeText(element.textContent); // only over https, or on this machine
    by("copied").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(element);
    by("copied").textContent = document.execCommand("copy") ? "Copied." : "Selected: copy it with the keyboard.";
  }
}

let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width && result) charts();
  width = innerWidth;
});

during(begin);
