// The page: sends a request when a choice changes, drops outdated answers, and shows the others.

import { remember, wanted } from "./address.js";
import { get, nearest, Problem, simulate, token } from "./api.js";
import { drawChannels, drawSums, said, statistics, sums } from "./charts.js";
import { drawBar, niceEnd } from "./colours.js";
import { Controls } from "./controls.js";
import { atFace, momentum, onFace } from "./geometry.js";
import { Gallery, imagesOf, SHOWN } from "./responses.js";
import { bodyOf, snippets } from "./snippets.js";

const by = (id) => document.getElementById(id);
const PAUSE_MS = 120; // send no request while a slider moves
const SLOW_MS = 400; // after this time, tell the visitor that the page waits for the server
const LONGEST_WAIT_SECONDS = 30;

const galleries = {
  generated: new Gallery(by("model-gallery"), by("readout")),
  geant: new Gallery(by("geant-gallery"), by("readout")),
};
const controls = new Controls(later, (model) => during((signal) => choose(model, signal)));
let [about, result, geant, first] = [null, null, null, 0];
let [pending, timer, refused] = [null, null, 0];

/** Run an action that sends requests; it aborts the previous action, and its error is shown. */
async function during(work) {
  pending?.abort();
  clearTimeout(timer);
  const mine = (pending = new AbortController());
  by("results").setAttribute("aria-busy", "true");
  const slow = setTimeout(() => wait(true), SLOW_MS);
  try {
    await work(mine.signal);
    if (pending === mine) tell(null);
  } catch (error) {
    if (error.name === "AbortError" || pending !== mine) return;
    tell(error instanceof Problem ? error : new Problem("page", `The page failed: ${error.message}`, true), work);
  } finally {
    clearTimeout(slow);
    if (pending === mine) {
      wait(false);
      by("results").setAttribute("aria-busy", "false");
    }
  }
}

/** Show that the page still has the last answer, while it waits for the next one. */
function wait(waits) {
  by("results").classList.toggle("old", waits);
  if (waits) by("status").textContent = "Waiting for the server…";
}

/** The next action: first get the models, or the card of the chosen model, if they are not known yet. */
function next() {
  if (!controls.card) return begin;
  return controls.adopted ? ask : (signal) => choose(controls.model, signal);
}

function later() {
  pending?.abort();
  clearTimeout(timer);
  timer = setTimeout(() => during(next()), PAUSE_MS);
}

function tell(problem, work) {
  const box = by("problem");
  hide(box, problem === null, by("again"));
  if (problem?.retryAfter == null) refused = 0;
  hide(by("token-form"), problem?.kind !== "unauthenticated", by("model"));
  if (problem === null) return;
  box.querySelector("p").textContent = problem.message;
  by("status").textContent = result ? "Below is the answer to the last request that succeeded." : "";
  hide(by("retry"), !problem.again, by("again"));
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

/** Hide an element or show it; if a hidden element has the keyboard focus, `instead` gets it. */
function hide(element, hidden, instead) {
  if (hidden && element.contains(document.activeElement)) instead.focus();
  element.hidden = hidden;
}

/** Hide links that need a token, because a browser follows them without it. */
function hideWhatNeedsNoToken() {
  for (const link of document.querySelectorAll(".needs-no-token")) link.hidden = true;
}

async function begin(signal) {
  const models = await get("models", signal);
  if (!models.length) throw new Problem("no_model", "No model is loaded on this server.", true);
  const choices = wanted();
  const [model, found] = controls.offer(models, choices ?? {});
  await adopt(model, signal);
  if (choices) {
    controls.take(choices);
    const name = choices.version ? `${choices.model} version ${choices.version}` : choices.model;
    const remedy = `Choose a model, or simulate with ${model.name} version ${model.version}`;
    if (!found) throw new Problem("form", `The address has the model ${name}, which is not loaded here. ${remedy}.`);
  } else {
    // Begin with a particle for which Geant4 responses exist.
    const { card, species } = controls;
    const high = { pdg: species.pdg, energy: 0.4 * species.energy[1], x: 0, y: 0 };
    const { example } = await nearest(card.calorimeter.name, high, signal);
    if (example) controls.goTo(example);
  }
  await ask(signal);
}

async function choose(model, signal) {
  await adopt(model, signal);
  await ask(signal);
}

async function adopt(model, signal) {
  const path = `models/${model.name}/${model.version}`;
  const [card, found] = await Promise.all([get(path, signal), get("about", signal)]);
  about = found; // has the masses for a model that was loaded since the last request
  by("metrics-link").hidden = !about.metrics || token.known();
  controls.adopt(card);
}

async function ask(signal) {
  const card = controls.card;
  const chosen = controls.values();
  remember(card, chosen, controls.keepsSeed);
  const mass = about.masses[chosen.pdg];
  if (mass === undefined) throw new Problem("no_mass", `The PDG table has no mass for ${chosen.pdg}; use the API and send the mass.`);
  if (!(chosen.energy > mass * 1e-3)) {
    throw new Problem("form", `Energy must be above the mass of ${controls.species.name}, ${(mass * 1e-3).toPrecision(4)} GeV.`);
  }
  // Magnets deflect charged particles on their way, so they are given at the face.
  const given = about.charges[chosen.pdg]
    ? atFace(card, controls.species, mass, chosen)
    : { ...momentum(card, controls.species, mass, chosen), vz: chosen.vz };
  const particle = { pdg: chosen.pdg, ...given };
  const body = bodyOf(particle, chosen, card);
  showRequest(body, particle);
  const began = performance.now();
  const comparison = nearest(card.calorimeter.name, chosen, signal).catch((error) => {
    if (error.name === "AbortError") throw error;
    return { example: null, failed: error.message };
  });
  const [reply, example] = await Promise.all([simulate(body, signal), comparison]);
  result = { card, chosen, reply, milliseconds: performance.now() - began };
  const fits = example.example?.shape.every((number, axis) => number === reply.shape[axis]);
  geant = { ...example, example: fits ? example.example : null };
  first = 0;
  show();
}

function showRequest(body, { px, py, pz, vx }) {
  const where = vx === undefined ? "" : " The particle is charged, so it is given at the face, where magnets no longer deflect it.";
  by("momentum").textContent = `Momentum: px = ${px}, py = ${py}, pz = ${pz} GeV/c.${where}`;
  const texts = snippets(new URL(".", document.baseURI), about.grpc_port, body, token.known());
  for (const [language, text] of Object.entries(texts)) by(language).textContent = text;
}

function show() {
  const { reply, card, chosen } = result;
  by("results").classList.remove("empty");
  const example = geant.near ? geant.example : null;
  const total = reply.particle.length;
  const last = Math.min(first + SHOWN, total);
  const brightest = [reply, ...(example ? [example] : [])].map(({ hits }) => hits.photons.reduce((a, b) => Math.max(a, b), 0));
  const scale = { calorimeter: card.calorimeter, largest: niceEnd(Math.max(...brightest)) };
  result.largest = scale.largest;
  galleries.generated.show(imagesOf(reply, first, last), { ...scale, point: chosen, name: "Generated response", first });
  galleries.geant.show(example ? imagesOf(example) : [], { ...scale, point: example, name: "Geant4 response", first: 0 });
  by("geant-gallery").hidden = !geant.example;
  by("shown").textContent = total ? `${first + 1} to ${last} of ${total}` : "none";
  by("previous").disabled = first === 0;
  by("next").disabled = last >= total;
  by("orientation").textContent = orientation(card.calorimeter);
  by("nearest").textContent = nearestInWords(geant, onFace(card.calorimeter, chosen.x, chosen.y));
  by("source").textContent = example ? `Source: ${geant.source}.` : "";
  const there = !geant.example || (geant.example.distance_cm < 1e-3 && Math.abs(geant.example.energy_ratio - 1) < 1e-4);
  hide(by("go-there"), there, by("energy"));
  charts();
  const photons = sums(reply.channels);
  const empty = photons.filter((value) => value === 0).length;
  by("status").textContent =
    `${photons.length} response${photons.length === 1 ? "" : "s"} of ${reply.model} version ${reply.version} ` +
    `in ${Math.round(result.milliseconds)} ms, seed ${reply.seed}: ${said(statistics(photons))} photons, ${empty} empty.`;
}

function orientation({ half_width: half }) {
  const [width, height] = half.map((value) => Number((2 * value).toFixed(2)));
  return (
    `Each picture shows the face, ${width} cm x ${height} cm, with one pixel per fibre, x to the right and y upwards. ` +
    "The ring marks the point where the particle's straight line meets the face."
  );
}

/** Draw the charts, which use the whole width. */
function charts() {
  const { reply, largest } = result;
  drawBar(by("colour-bar"), by("colour-ticks"), largest);
  const rows = geant.near && geant.example ? geant.example.channels : null;
  drawChannels(by("channels-chart"), by("channels-table"), reply.channel_names, { generated: reply.channels, geant: rows });
  drawSums(by("sum-chart"), by("sum-table"), sums(reply.channels), rows && sums(rows));
}

function nearestInWords({ example, near, failed }, hit) {
  if (failed) return failed;
  if (!example) return "There is no test particle of this species and calorimeter to compare with.";
  const percent = Math.abs(100 * (example.energy_ratio - 1));
  const energy = percent < 0.05 ? "the same energy" : `${percent.toFixed(percent < 10 ? 1 : 0)} % ${example.energy_ratio > 1 ? "more" : "less"} energy`;
  const turned = example.turn === "none" ? "" : ` A symmetry of the face (${example.turn}) was applied to bring it nearer to your point.`;
  const what = `${example.name}, ${Number(example.energy.toPrecision(4))} GeV, at x = ${example.x.toFixed(2)}, y = ${example.y.toFixed(2)} cm`;
  const far = `${energy}, ${example.distance_cm.toFixed(2)} cm from your point`;
  if (!hit) return `Your point is outside the face, but all test particles hit it, so there is none to compare with. The nearest is a ${what} (${far}).`;
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
    by("problem").querySelector("p").textContent = "A token has only the characters A-Z, a-z, 0-9 and -._~+/.";
  }
});
for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", () => copy(button.dataset.copies));
}

async function copy(id) {
  const element = by(id);
  try {
    await navigator.clipboard.writeText(element.textContent); // browsers allow this only for https and localhost
    by("copied").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(element);
    by("copied").textContent = document.execCommand("copy") ? "Copied." : "Selected: copy it with the keyboard.";
  }
}

addEventListener("hashchange", () => during(begin)); // the visitor edited the address; `remember` sends no such event

let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width && result) charts();
  width = innerWidth;
});

during(begin);
