// Charts and tables of channel sums and photon sums, for generated responses and those of Geant4.

import { svg } from "./svg.js";

const FEWEST_BINS = 5;
const TITLES = { generated: "generated", geant: "Geant4" };

/** Mean, sample standard deviation (null for a single value) and number of some values. */
export function statistics(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, spread: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : null, number: values.length };
}

const digits = (value) => (value < 1 ? 2 : value < 10 ? 1 : 0);
const short = (value) => (value === null ? "–" : value.toFixed(digits(value)));
/** Mean and spread, rounded to the significant digits of the spread. */
export const said = ({ mean, spread }) =>
  spread === null ? String(Number(mean.toFixed(1))) : `${mean.toFixed(digits(spread))} ± ${spread.toFixed(digits(spread))}`;
const column = (rows, at) => rows.map((row) => row[at]);
const total = (row) => row.reduce((a, b) => a + b, 0);

const ends = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);

export const sums = (rows) => rows.map(total);

function drawing(element, height, label) {
  const width = Math.max(element.clientWidth, 240);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  element.replaceChildren(root);
  return [root, width];
}

function roundStep(span, most) {
  const rough = span / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
}

/** Draw a bar for the mean of each channel and a line for its spread. `groups`: {generated, geant}, rows of channels. */
export function drawChannels(element, table, names, groups) {
  const kinds = Object.entries(groups).filter(([, rows]) => rows !== null);
  const all = kinds.map(([kind, rows]) => [kind, names.map((_, at) => statistics(column(rows, at)))]);
  const end = Math.max(1, ...all.flatMap(([, list]) => list.map(({ mean, spread }) => mean + (spread ?? 0))));
  const words = names.map((name, at) => `${name} ${all.map(([kind, list]) => `${TITLES[kind]} ${said(list[at])}`).join(", ")}`);
  const band = 16 * all.length + 14;
  const [root, width] = drawing(element, names.length * band + 30, `Mean and spread: ${words.join("; ")}`);
  const left = 14 + 8.5 * Math.max(...names.map((name) => name.length));
  const right = 88;
  const scale = (value) => left + ((width - left - right) * value) / end;
  names.forEach((name, at) => {
    const top = at * band + 8;
    root.append(svg("text", { x: left - 8, y: top + 8 * all.length + 3, class: "name" }, name));
    all.forEach(([kind, list], i) => {
      const { mean, spread } = list[at];
      const y = top + i * 16;
      root.append(svg("rect", { x: left, y, width: Math.max(scale(mean) - left, 1), height: 13, class: `bar ${kind}` }));
      if (spread !== null) {
        const [from, to] = [scale(Math.max(mean - spread, 0)), scale(mean + spread)];
        const d = `M${from} ${y + 6.5}H${to}M${from} ${y + 3}v7M${to} ${y + 3}v7`;
        root.append(svg("path", { d, class: "spread halo" }), svg("path", { d, class: "spread" }));
      }
      root.append(svg("text", { x: scale(mean + (spread ?? 0)) + 6, y: y + 11, class: "value" }, said(list[at])));
    });
  });
  all.forEach(([kind], i) => {
    const [x, y] = [left + i * 100, names.length * band + 12];
    root.append(svg("rect", { x, y, width: 13, height: 13, class: `bar ${kind}` }));
    root.append(svg("text", { x: x + 19, y: y + 11 }, TITLES[kind]));
  });
  const heads = ["Channel", ...all.map(([kind]) => `${TITLES[kind]}: mean ± spread`)];
  fill(table, heads, names.map((name, at) => [name, ...all.map(([, list]) => said(list[at]))]));
}

/** Draw a histogram of the photon sums `generated`, and the values of `geant` (or null) as marks below it. */
export function drawSums(element, table, generated, geant) {
  const values = [...generated, ...(geant ?? [])];
  const [least, most] = ends(values);
  const bins = Math.max(1, Math.min(30, Math.ceil(2 * Math.sqrt(generated.length))));
  const step = Math.max(1, Math.ceil((most - least + 1) / bins));
  const found = Math.floor(most / step) - Math.floor(least / step) + 1;
  const spare = Math.max(0, FEWEST_BINS - found); // around a single value
  const start = Math.max(0, Math.floor(least / step) - Math.floor(spare / 2)) * step;
  const counts = new Array(found + spare).fill(0);
  for (const value of generated) counts[Math.floor((value - start) / step)] += 1;
  const tables = { generated: statistics(generated), ...(geant && { geant: statistics(geant) }) };
  const words = Object.entries(tables).map(([kind, found]) => `${TITLES[kind]} ${said(found)} in ${found.number}`);
  const [root, width] = drawing(element, 268, `Photon sums, mean and spread: ${words.join("; ")}`);
  const [left, right, top, base] = [38, 14, 26, 182];
  const x = (value) => left + ((width - left - right) * (value - start)) / (counts.length * step);
  const peak = Math.max(...counts, 1);
  const y = (count) => base - ((base - top) * count) / peak;
  const lines = roundStep(peak, 4) < 1 ? 1 : roundStep(peak, 4);
  for (let count = 0; count <= peak; count += lines) {
    root.append(svg("path", { d: `M${left} ${y(count)}H${width - right}`, class: "grid" }));
    root.append(svg("text", { x: left - 6, y: y(count) + 4, class: "name" }, String(count)));
  }
  counts.forEach((count, i) => {
    if (!count) return;
    const [from, to] = [x(start + i * step), x(start + (i + 1) * step)];
    const size = { width: Math.max(to - from - 1, 1), height: base - y(count) };
    const bar = svg("rect", { x: from + 0.5, y: y(count), ...size, class: "bar generated" });
    bar.append(svg("title", {}, `${start + i * step} to ${start + (i + 1) * step - 1} photons: ${count}`));
    root.append(bar);
  });
  for (const value of geant ?? []) {
    const at = x(value + 0.5);
    const mark = svg("path", { d: `M${at} ${base + 3}l5 11h-10z`, class: "bar geant" });
    mark.append(svg("title", {}, `Geant4: ${value} photons`));
    root.append(mark);
  }
  root.append(svg("text", { x: 0, y: 12, class: "axis" }, "responses"));
  const ticks = Math.max(1, roundStep(counts.length * step, Math.max(2, Math.floor(width / 90))));
  for (let value = Math.ceil(start / ticks) * ticks; value <= start + counts.length * step; value += ticks) {
    root.append(svg("text", { x: x(value), y: base + 30, class: "tick" }, String(value)));
  }
  root.append(svg("text", { x: width - right, y: base + 46, class: "axis end" }, "photons"));
  root.append(svg("text", { x: left, y: base + 64, class: "value" }, `bars: generated, ${said(tables.generated)}`));
  if (geant) root.append(svg("text", { x: left, y: base + 81, class: "value" }, `triangles: Geant4, ${said(tables.geant)}`));
  const empty = (list) => String(list.filter((value) => value === 0).length);
  const rows = [["generated", generated], ...(geant ? [["Geant4", geant]] : [])];
  fill(
    table,
    ["", "Responses", "Mean", "Spread", "Least", "Most", "Empty"],
    rows.map(([name, list]) => {
      const found = statistics(list);
      const [fewest, greatest] = ends(list).map(String);
      return [name, String(list.length), short(found.mean), short(found.spread), fewest, greatest, empty(list)];
    }),
  );
}

function fill(table, heads, rows) {
  const cell = (name, text, scope) => {
    const element = document.createElement(name);
    element.textContent = text;
    if (scope && text) element.scope = scope;
    return element;
  };
  const line = (cells) => {
    const row = document.createElement("tr");
    row.append(...cells);
    return row;
  };
  table.replaceChildren(
    line(heads.map((head) => (head ? cell("th", head, "col") : cell("td", "")))),
    ...rows.map(([name, ...values]) => line([cell("th", name, "row"), ...values.map((value) => cell("td", value))])),
  );
}
