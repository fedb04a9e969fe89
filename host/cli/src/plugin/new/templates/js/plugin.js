// A plugin for drawspan: {{module}}.
//
// What is outside of functions runs when the plugin is built. To give no answer: throw { tag: "unavailable", val: "why" },
// or "invalid-request" or "failed"; anything else that is thrown ends the instance.

export const lifecycle = {
  /** Called once, before any question. `config` is a list of [key, value]. An error refuses the plugin. */
  init({ name, config }) {},
};

export const {{interface_camel}} = {
{{functions}}};
