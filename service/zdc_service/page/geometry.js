// Converts the choices to what the server needs. All numbers of the detector come from the model's card.

// Momenta are sent with seven digits. At the ends of a range the energy is moved inwards by this relative amount, so
// that rounding cannot move it out of the range.
const MARGIN = 1e-6;

/** Momentum [GeV/c] of a particle of `energy` [GeV] and `mass` [MeV] on the line from (0, 0, vz) to a point of the face
 * [cm from its centre]. */
export function momentum(card, species, mass, { energy, x, y, vz }) {
  const size = momentumSize(species, mass, energy);
  const { centre: [cx, cy], face_z: z } = card.calorimeter;
  const line = [x + cx, y + cy, z - vz];
  const length = Math.hypot(...line);
  const [px, py, pz] = line.map((part) => Number(((size * part) / length).toPrecision(7)));
  return { px, py, pz };
}

/** Momentum [GeV/c] and position [cm] of a particle that is given at a point of the face [cm from its centre], along the
 * beam. */
export function atFace(card, species, mass, { energy, x, y }) {
  const { centre: [cx, cy], face_z: vz } = card.calorimeter;
  const pz = Number(momentumSize(species, mass, energy).toPrecision(7));
  return { px: 0, py: 0, pz, vx: x + cx, vy: y + cy, vz };
}

function momentumSize({ energy: [low, high] }, mass, energy) {
  const drawnIn =
    energy >= low && energy <= high ? Math.min(Math.max(energy, low * (1 + MARGIN)), high * (1 - MARGIN)) : energy;
  return Math.sqrt(Math.max(drawnIn ** 2 - (mass * 1e-3) ** 2, 0));
}

/** Distance between neighbouring fibres along x and y [cm]. */
export function pitch({ shape, half_width: half }) {
  return shape.map((number, axis) => (2 * half[axis]) / number);
}

/** Centre of a fibre [cm from the centre of the face]. */
export function centre(calorimeter, row, column) {
  const [dx, dy] = pitch(calorimeter);
  return [(row + 0.5) * dx - calorimeter.half_width[0], (column + 0.5) * dy - calorimeter.half_width[1]];
}

/** Whether a point [cm] is on the face. */
export function onFace({ half_width: half }, x, y) {
  return Math.abs(x) < half[0] && Math.abs(y) < half[1];
}

/** A point [cm], moved to the centre of the nearest outermost fibre if it is outside of the fibres' centres. */
export function drawnToFace(calorimeter, x, y) {
  const [dx, dy] = pitch(calorimeter);
  const [hx, hy] = calorimeter.half_width;
  const within = (value, limit) => Math.min(Math.max(value, -limit), limit);
  return [within(x, hx - dx / 2), within(y, hy - dy / 2)];
}

/** Name of the channel of a fibre; null if it has none. */
export function channelOf({ channel_map: map, channel_names: names }, row, column) {
  const character = map[row][column];
  return character === "." ? null : names[parseInt(character, 36) - 1]; // 1 to 9, then a to z
}

/** Converts an energy to a position of the logarithmic slider, 0 to 1000, and back. */
export const slider = {
  position: (energy, [low, high]) => Math.round((1000 * Math.log(energy / low)) / Math.log(high / low)),
  energy: (position, [low, high]) => {
    if (position <= 0) return low;
    if (position >= 1000) return high;
    return Number((low * (high / low) ** (position / 1000)).toPrecision(4));
  },
};
