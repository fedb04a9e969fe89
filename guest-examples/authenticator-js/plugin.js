// An authenticator that lets in the users which its config names.

// The passwords by user. Read once in `init`: an instance may be thrown away at any time, so nothing that changes belongs here.
let users;

export const lifecycle = {
  init({ config }) {
    if (users) throw { tag: "failed", val: "init was called twice" };
    let text = "";
    for (const [key, value] of config) {
      // A key that nobody reads is more likely a typing error than a wish, so it is refused.
      if (key !== "users") refuse(`unknown config key \`${key}\`; this plugin reads \`users\``);
      text = value;
    }
    users = parse(text);
  },
};

export const authenticator = {
  authenticate({ username, password }) {
    if (!users) throw { tag: "failed", val: "init was not called" };
    const expected = users.get(username);
    return expected !== undefined && same(expected, password) ? { clientId: username } : undefined;
  },
};

function refuse(why) {
  throw { tag: "invalid-request", val: why };
}

// Reads `user:password` pairs between whitespace or commas. The first colon splits, so a password may contain more.
//
// The error counts entries instead of quoting them: it goes to a log, and an entry may be all password.
function parse(text) {
  const users = new Map();
  const entries = text.split(/[,\s]+/).filter((entry) => entry !== "");
  entries.forEach((entry, index) => {
    const colon = entry.indexOf(":");
    const [user, password] = [entry.slice(0, colon), entry.slice(colon + 1)];
    if (colon < 1 || password === "") refuse(`entry ${index + 1} of \`users\` is not of the form user:password`);
    if (users.has(user)) refuse(`entry ${index + 1} of \`users\` names the user \`${user}\` again`);
    users.set(user, password);
  });
  if (users.size === 0) {
    refuse("`users` is missing or empty: write `users: \"user:password …\"` under the plugin's `config`");
  }
  return users;
}

// Takes a time that depends on the length of `presented` only, so that it tells nothing about `expected`.
function same(expected, presented) {
  let differs = expected.length ^ presented.length;
  for (let i = 0; i < presented.length; i++) {
    differs |= presented.charCodeAt(i) ^ expected.charCodeAt(i % expected.length);
  }
  return differs === 0;
}
