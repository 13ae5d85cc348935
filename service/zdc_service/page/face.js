// The picture of the calorimeter's face, in which the visitor chooses the impact point.

import { channelOf, drawnToFace, onFace, pitch } from "./geometry.js";
import { svg } from "./svg.js";

const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
const COLOURS = 5; // of channels, in style.css
const rounded = (value) => Number(value.toFixed(4)) + 0; // no -0

/** Labels: axes, and names of channels in the middle of their fibres, except for channels spread over the whole face. */
function labels({ shape: [rows, columns], half_width: [hx, hy], channel_names: names, channel_map: map }) {
  const size = 0.09 * Math.min(hx, hy);
  const text = (x, y, words, anchor) => svg("text", { x, y, "font-size": size, "text-anchor": anchor }, words);
  const found = [text(hx - size / 2, hy - size / 2, "x →", "end"), text(size / 2 - hx, 1.2 * size - hy, "↑ y", "start")];
  names.forEach((name) => {
    let [x, y, number] = [0, 0, 0];
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        if (channelOf({ channel_map: map, channel_names: names }, row, column) !== name) continue;
        x += (2 * row + 1) / rows - 1;
        y += (2 * column + 1) / columns - 1;
        number++;
      }
    }
    const [dx, dy] = [x / number, y / number];
    if (Math.hypot(dx, dy) > 0.1) found.push(text(dx * hx, -dy * hy + size / 3, name, "middle"));
  });
  return found;
}

export class Face {
  /** `moved(x, y)` is called with each point [cm] that the visitor chooses. */
  constructor(element, words, moved) {
    this.element = element;
    this.words = words;
    this.moved = moved;
    // A moving finger scrolls the page, so on a touch screen only a tap (a click) chooses a point; a mouse can also drag.
    element.addEventListener("click", (event) => this.#point(event));
    element.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" && event.buttons === 1) this.#point(event);
    });
    element.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Draw another calorimeter. */
  of(calorimeter) {
    this.calorimeter = calorimeter;
    const [hx, hy] = calorimeter.half_width;
    const [dx, dy] = pitch(calorimeter);
    this.drawing = svg("svg", { viewBox: `${-hx} ${-hy} ${2 * hx} ${2 * hy}`, "aria-hidden": "true" });
    const [rows, columns] = calorimeter.shape;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const name = channelOf(calorimeter, row, column);
        const number = name === null ? "none" : calorimeter.channel_names.indexOf(name) % COLOURS;
        const place = { cx: (row + 0.5) * dx - hx, cy: hy - (column + 0.5) * dy, r: 0.28 * Math.min(dx, dy) };
        this.drawing.append(svg("circle", { ...place, class: `fibre channel-${number}` }));
      }
    }
    this.drawing.append(...labels(calorimeter));
    this.mark = svg("g", { class: "mark" });
    for (const kind of ["halo", "line"]) {
      this.mark.append(
        svg("path", { d: `M${-2 * hx} 0H${-3 * dx}M${3 * dx} 0H${2 * hx}M0 ${-2 * hy}V${-3 * dy}M0 ${3 * dy}V${2 * hy}`, class: kind }),
        svg("circle", { r: 1.5 * Math.max(dx, dy), class: kind }),
      );
    }
    this.drawing.append(this.mark);
    this.element.replaceChildren(this.drawing);
    this.element.style.aspectRatio = `${hx} / ${hy}`;
  }

  /** Show the point [cm]. */
  show(x, y) {
    this.x = x;
    this.y = y;
    const shown = Number.isFinite(x) && Number.isFinite(y);
    this.mark.toggleAttribute("hidden", !shown);
    if (!shown) return;
    this.mark.setAttribute("transform", `translate(${x} ${-y})`);
    const [dx, dy] = pitch(this.calorimeter);
    const [hx, hy] = this.calorimeter.half_width;
    const row = Math.floor((x + hx) / dx);
    const column = Math.floor((y + hy) / dy);
    const channel = onFace(this.calorimeter, x, y) ? channelOf(this.calorimeter, row, column) : null;
    this.words.textContent = onFace(this.calorimeter, x, y)
      ? `x = ${rounded(x)} cm, y = ${rounded(y)} cm: fibre (${row}, ${column}), ${channel ?? "no channel"}`
      : "The particle misses the face: responses are empty.";
  }

  #point(event) {
    this.words.setAttribute("aria-live", "off");
    const box = this.drawing.getBoundingClientRect();
    const [hx, hy] = this.calorimeter.half_width;
    const x = (2 * (event.clientX - box.left)) / box.width - 1;
    const y = 1 - (2 * (event.clientY - box.top)) / box.height;
    this.element.focus({ preventScroll: true });
    this.#move(x * hx, y * hy);
  }

  #key(event) {
    const step = KEYS[event.key];
    if (step === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.words.setAttribute("aria-live", "polite"); // not for a pointer: a screen reader would never stop talking
    const size = pitch(this.calorimeter).map((width) => (event.shiftKey ? width / 10 : width));
    this.#move((this.x || 0) + step[0] * size[0], (this.y || 0) + step[1] * size[1]);
  }

  #move(x, y) {
    this.moved(...drawnToFace(this.calorimeter, x, y).map(rounded));
  }
}
