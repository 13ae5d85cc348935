// Stores the choices in the page's address, so that it can be bookmarked and shared. They are after the #, so that no
// server or proxy logs them.

const NAMES = ["model", "version", "pdg", "energy", "x", "y", "vz", "repeats", "seed"];

/** The choices in the address, strings by name; null if there are none. */
export function wanted() {
  const found = [...new URLSearchParams(location.hash.slice(1))].filter(([name]) => NAMES.includes(name));
  return found.length ? Object.fromEntries(found) : null;
}

/** Write choices into the address. They replace the old ones, because a slider would fill the history. A random seed is
 * not stored. */
export function remember(card, chosen, keepsSeed) {
  const all = { model: card.name, version: card.version, ...chosen };
  const names = NAMES.filter((name) => name !== "seed" || keepsSeed);
  history.replaceState(null, "", `#${new URLSearchParams(names.map((name) => [name, all[name]]))}`);
}
