// Pictures of responses; pointing at a fibre shows its photons.

import { centre, channelOf, onFace, pitch } from "./geometry.js";
import { colour } from "./colours.js";
import { svg } from "./svg.js";

export const SHOWN = 5;
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };

const RING_FIBRES = 4; // radius of the ring: it surrounds the core of a shower and does not cover it

/** Photons of each fibre, for the rows from `first` to before `end` of a reply; by default for all rows. */
export function imagesOf({ hits, shape: [rows, columns] }, first = 0, end = hits.offsets.length - 1) {
  return Array.from({ length: end - first }, (_, row) => {
    const image = new Float32Array(rows * columns); // float: the finish of a model may be `none`, which gives rates
    for (let i = hits.offsets[first + row]; i < hits.offsets[first + row + 1]; i++) image[hits.fibre[i]] = hits.photons[i];
    return image;
  });
}

const plural = (number, word) => `${Number(number.toFixed(1))} ${word}${number === 1 ? "" : "s"}`;

/** Up to `SHOWN` responses side by side. */
export class Gallery {
  /** `readOut` is the element that shows the photons of a fibre. */
  constructor(element, readOut) {
    this.element = element;
    this.readOut = readOut;
    this.pictures = [];
  }

  /** Draw images with the names `${name} 1`, ...; `first` is the index of the first image. `largest` is the end of the
   * colour scale, and a ring marks the `point` [cm]. */
  show(images, { calorimeter, largest, point, name, first }) {
    this.element.style.setProperty("--aspect", calorimeter.half_width[0] / calorimeter.half_width[1]);
    while (this.pictures.length > images.length) this.pictures.pop().figure.remove();
    while (this.pictures.length < images.length) {
      const picture = new Picture(this.readOut);
      this.pictures.push(picture);
      this.element.append(picture.figure);
    }
    this.pictures.forEach((picture, i) => picture.show(images[i], calorimeter, largest, point, `${name} ${first + i + 1}`));
  }
}

class Picture {
  constructor(readOut) {
    this.readOut = readOut;
    this.figure = document.createElement("figure");
    this.frame = document.createElement("div");
    this.frame.className = "response";
    this.frame.tabIndex = 0;
    this.frame.setAttribute("role", "application");
    this.frame.setAttribute("aria-roledescription", "response");
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.ring = svg("svg", { class: "mark", "aria-hidden": "true" });
    this.cursor = document.createElement("div");
    this.cursor.className = "cursor";
    this.cursor.hidden = true;
    this.caption = document.createElement("figcaption");
    this.frame.append(this.canvas, this.ring, this.cursor);
    this.figure.append(this.frame, this.caption);
    this.frame.addEventListener("pointermove", (event) => this.#pointed(event));
    this.frame.addEventListener("pointerdown", (event) => this.#pointed(event));
    this.frame.addEventListener("pointerleave", () => (this.cursor.hidden = document.activeElement !== this.frame));
    this.frame.addEventListener("focus", () => this.frame.matches(":focus-visible") && this.#at(...this.brightest));
    this.frame.addEventListener("blur", () => (this.cursor.hidden = true));
    this.frame.addEventListener("keydown", (event) => this.#key(event));
  }

  show(image, calorimeter, largest, point, name) {
    const [rows, columns] = calorimeter.shape;
    Object.assign(this, { image, calorimeter, name });
    this.canvas.width = rows;
    this.canvas.height = columns;
    this.#mark(point);
    const context = this.canvas.getContext("2d");
    const pixels = context.createImageData(rows, columns);
    let [sum, lit, best] = [0, 0, Math.floor(image.length / 2 + columns / 2)];
    image.forEach((photons, fibre) => {
      const [row, column] = [Math.floor(fibre / columns), fibre % columns];
      const at = 4 * ((columns - 1 - column) * rows + row); // x to the right, y up
      pixels.data.set([...colour(photons, largest), 255], at);
      sum += photons;
      lit += photons > 0;
      if (photons > image[best]) best = fibre;
    });
    context.putImageData(pixels, 0, 0);
    this.brightest = [Math.floor(best / columns), best % columns];
    const most = sum ? `, at most ${image[best]} in fibre (${this.brightest.join(", ")})` : "";
    const words = `${name}: ${plural(sum, "photon")} in ${plural(lit, "fibre")}${most}`;
    this.canvas.setAttribute("aria-label", words);
    this.frame.setAttribute("aria-label", words);
    this.caption.textContent = plural(sum, "photon");
    this.cursor.hidden = true;
  }

  #mark({ x, y }) {
    const [hx, hy] = this.calorimeter.half_width;
    this.ring.setAttribute("viewBox", `${-hx} ${-hy} ${2 * hx} ${2 * hy}`);
    const r = RING_FIBRES * Math.max(...pitch(this.calorimeter));
    const lines = onFace(this.calorimeter, x, y) ? ["halo", "line"] : [];
    this.ring.replaceChildren(...lines.map((kind) => svg("circle", { cx: x, cy: -y, r, class: kind })));
  }

  #at(row, column) {
    const [rows, columns] = this.calorimeter.shape;
    Object.assign(this, { row, column });
    const percent = { left: row / rows, top: (columns - 1 - column) / columns, width: 1 / rows, height: 1 / columns };
    for (const [side, share] of Object.entries(percent)) this.cursor.style[side] = `${100 * share}%`;
    this.cursor.hidden = false;
    const photons = this.image[row * columns + column];
    const [x, y] = centre(this.calorimeter, row, column).map((value) => value.toFixed(2));
    const channel = channelOf(this.calorimeter, row, column) ?? "no channel";
    this.readOut.textContent = `${this.name}, fibre (${row}, ${column}) at ${x}, ${y} cm, ${channel}: ${plural(photons, "photon")}`;
  }

  #pointed(event) {
    const box = this.canvas.getBoundingClientRect();
    const [rows, columns] = this.calorimeter.shape;
    const within = (share, number) => Math.min(Math.max(Math.floor(share * number), 0), number - 1);
    const row = within((event.clientX - box.left) / box.width, rows);
    const column = within(1 - (event.clientY - box.top) / box.height, columns);
    this.readOut.setAttribute("aria-live", "off"); // with a pointer, a screen reader would never stop talking
    this.#at(row, column);
  }

  #key(event) {
    const step = KEYS[event.key];
    if (step === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const [rows, columns] = this.calorimeter.shape;
    const within = (value, number) => Math.min(Math.max(value, 0), number - 1);
    this.readOut.setAttribute("aria-live", "polite");
    const [row, column] = this.cursor.hidden ? this.brightest : [this.row, this.column];
    this.#at(within(row + step[0], rows), within(column + step[1], columns));
  }
}
