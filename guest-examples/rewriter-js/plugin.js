// A rewriter that replaces text in HTTP bodies.

// What is looked for, and what it becomes. Read once in `init`: an instance may be thrown away at any time, so nothing that
// changes belongs here.
let replacements;
let pattern;

export const lifecycle = {
  init({ config }) {
    if (replacements) throw { tag: "failed", val: "init was called twice" };
    let text = "";
    for (const [key, value] of config) {
      // A key that nobody reads is more likely a typing error than a wish, so it is refused.
      if (key !== "replace") refuse(`unknown config key \`${key}\`; this plugin reads \`replace\``);
      text = value;
    }
    replacements = parse(text);
    // One pattern for all, so that what was put in isn't looked at again. Of several that fit at one place the first is taken.
    pattern = new RegExp([...replacements.keys()].map((from) => from.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("|"), "gu");
  },
};

export const rewriter = {
  rewrite({ data }) {
    if (!replacements) throw { tag: "failed", val: "init was not called" };
    let text;
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
    } catch {
      return undefined; // What isn't text, an image for example, is left alone.
    }
    const replaced = text.replace(pattern, (from) => replacements.get(from));
    return replaced === text ? undefined : new TextEncoder().encode(replaced);
  },
};

function refuse(why) {
  throw { tag: "invalid-request", val: why };
}

// Reads lines of the form `text => replacement`; a replacement may be empty.
function parse(text) {
  const replacements = new Map();
  text.split("\n").forEach((line, index) => {
    if (line.trim() === "") return;
    const arrow = line.indexOf("=>");
    const from = line.slice(0, Math.max(arrow, 0)).trim();
    if (from === "") refuse(`line ${index + 1} of \`replace\` is not of the form \`text => replacement\``);
    if (!replacements.has(from)) replacements.set(from, line.slice(arrow + 2).trim());
  });
  if (replacements.size === 0) {
    refuse("`replace` is missing or empty: write lines of the form `text => replacement` under the plugin's `config`");
  }
  return replacements;
}
