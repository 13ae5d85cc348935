// A logarithmic colour scale for photon counts, and its colour bar.

// Every sixteenth colour of matplotlib's viridis (CC0), which is perceptually uniform; interpolated linearly in sRGB.
const VIRIDIS = (
  "440154 481a6c 472f7d 414487 39568c 31688e 2a788e 23888e 1f988b 22a884 35b779 54c568 7ad151 a5db36 d2e21b fde725"
)
  .split(" ")
  .map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));

// Zero photons are nearly black. One photon begins at this fraction of the map, so that its contrast to zero is 3 to 1.
const ZERO = [11, 14, 20];
const FIRST = 0.32;

function viridis(share) {
  const at = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return VIRIDIS[low].map((part, i) => Math.round(part + (VIRIDIS[low + 1][i] - part) * (at - low)));
}

/** Colour [r, g, b] of a count on a scale that ends at `largest`. */
export function colour(photons, largest) {
  if (photons <= 0) return ZERO;
  return viridis(FIRST + ((1 - FIRST) * Math.log(Math.max(photons, 1))) / Math.log(Math.max(largest, 2)));
}

/** The smallest of 10, 20, 50, 100, ... that is not below a count, so that the scale does not change too often. */
export function niceEnd(largest) {
  const power = 10 ** Math.floor(Math.log10(Math.max(largest, 10)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((end) => end >= largest);
}

const [ZERO_SHARE, GAP] = [0.08, 0.01]; // fractions of the bar: for zero photons, and for the gap at its end
const position = (photons, largest) => ZERO_SHARE + ((1 - ZERO_SHARE) * Math.log(photons)) / Math.log(largest);

export function drawBar(canvas, ticks, largest) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, 1);
  for (let i = 0; i < canvas.width; i++) {
    const share = ((i + 0.5) / canvas.width - ZERO_SHARE) / (1 - ZERO_SHARE);
    const between = share < 0 && share > -GAP / (1 - ZERO_SHARE);
    image.data.set([...colour(share < 0 ? 0 : largest ** share, largest), between ? 0 : 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
  canvas.setAttribute("aria-label", `Colours for 0, and for 1 to ${largest} photons per fibre, logarithmic`);
  const marks = [[0, (ZERO_SHARE - GAP) / 2]];
  for (const count of [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000].filter((c) => c <= largest)) {
    marks.push([count, position(count, largest)]);
  }
  ticks.replaceChildren(
    ...marks.map(([count, share]) => {
      const tick = document.createElement("span");
      tick.append(document.createElement("b"));
      tick.lastChild.textContent = count;
      tick.style.left = `${100 * share}%`;
      return tick;
    }),
  );
  thinOut([...ticks.children].reverse());
}

/** Keep the label of the last tick, and of each tick before it whose label has room; the others are lines only. */
function thinOut(ticks) {
  let free = Infinity;
  for (const tick of ticks) {
    const { left, right } = tick.firstChild.getBoundingClientRect();
    if (right + 4 < free) free = left;
    else tick.firstChild.remove();
  }
}
