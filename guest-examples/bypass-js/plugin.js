// A bypass that recognises targets by their domain.

// Names in lower case; of those in `below` all that end with them, after a dot. Read once in `init`: an instance may be thrown
// away at any time, so nothing that changes belongs here.
let domains;

export const lifecycle = {
  init({ config }) {
    if (domains) throw { tag: "failed", val: "init was called twice" };
    let text = "";
    for (const [key, value] of config) {
      // A key that nobody reads is more likely a typing error than a wish, so it is refused.
      if (key !== "domains") refuse(`unknown config key \`${key}\`; this plugin reads \`domains\``);
      text = value;
    }
    domains = parse(text);
  },
};

export const bypass = {
  contains({ targetAddress, host }) {
    if (!domains) throw { tag: "failed", val: "init was not called" };
    // At hop and node level the target is an address already; `host` is the name that the client asked for.
    return listed(targetAddress) || (host !== undefined && listed(host)) ? "matched" : "unmatched";
  },
};

function refuse(why) {
  throw { tag: "invalid-request", val: why };
}

// Reads entries between spaces or commas: `example.org` is that name alone, `*.example.org` every name below it, `.example.org`
// both.
function parse(text) {
  const domains = { names: new Set(), below: new Set() };
  for (const entry of text.split(/[,\s]+/).filter((entry) => entry !== "")) {
    const [, prefix, name] = /^(\*\.|\.|)(.*)$/s.exec(entry);
    // `com*` or `a.*.b` would otherwise match nothing in silence.
    if (name === "" || /[*:/]/.test(name)) refuse(`\`${entry}\` is none of example.org, .example.org and *.example.org`);
    if (prefix !== "") domains.below.add(hostOf(name));
    if (prefix !== "*.") domains.names.add(hostOf(name));
  }
  if (domains.names.size + domains.below.size === 0) {
    refuse("`domains` is missing or empty: write `domains: \"example.org .example.net\"` under the plugin's `config`");
  }
  return domains;
}

// Whether the host of the address, with or without a port, is in the list.
function listed(address) {
  const host = hostOf(address);
  if (domains.names.has(host)) return true;
  for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) {
    if (domains.below.has(host.slice(dot + 1))) return true;
  }
  return false;
}

// A host name as it is compared: without port and trailing dot, in lower case.
function hostOf(address) {
  // More than one colon is an IPv6 address without brackets.
  const [, host] = /^\[([^\]]*)\]/.exec(address) ?? /^([^:]*):[^:]*$/s.exec(address) ?? [, address];
  return host.replace(/\.$/, "").toLowerCase();
}
