// The choices in the page's address: to keep, to send to somebody, to come back to. Behind the #, so that no server and
// no proxy logs them.

const NAMES = ["model", "version", "pdg", "energy", "x", "y", "vz", "repeats", "seed"];

/** What the address asks for, texts by name; null where it asks for nothing. */
export function wanted() {
  const found = [...new URLSearchParams(location.hash.slice(1))].filter(([name]) => NAMES.includes(name));
  return found.length ? Object.fromEntries(found) : null;
}

/** Put choices there, in place of the last ones: a slider would fill the history. A seed that is drawn is no choice. */
export function remember(card, chosen, keepsSeed) {
  const all = { model: card.name, version: card.version, ...chosen };
  const names = NAMES.filter((name) => name !== "seed" || keepsSeed);
  history.replaceState(null, "", `#${new URLSearchParams(names.map((name) => [name, all[name]]))}`);
}
