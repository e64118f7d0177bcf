// A form made from the JSON Schema of a tool's arguments.

class Unfit extends Error {}

/** The schema itself, behind references to its definitions and behind "or null". */
function resolved(schema, root) {
  let found = schema && typeof schema === "object" ? schema : {};
  for (let hops = 0; hops < 8; hops++) {
    const choices = found.anyOf || found.oneOf;
    const real = Array.isArray(choices) ? choices.filter((choice) => choice && choice.type !== "null") : [];
    if (typeof found.$ref === "string" && found.$ref.startsWith("#/")) found = { ...pointed(root, found.$ref), ...without(found, "$ref") };
    else if (real.length === 1) found = { ...real[0], ...without(found, "anyOf", "oneOf") };
    else break;
  }
  if (!Array.isArray(found.type)) return found;
  const types = found.type.filter((type) => type !== "null");
  return { ...found, type: types.length === 1 ? types[0] : undefined };
}

function without(object, ...names) {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}

function pointed(root, reference) {
  const steps = reference.slice(2).split("/").map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  const target = steps.reduce((at, step) => (at && Object.hasOwn(at, step) ? at[step] : undefined), root);
  return target && typeof target === "object" ? target : {};
}

function kindOf(schema) {
  if (Array.isArray(schema.enum)) return "choice";
  if ("const" in schema) return "choice";
  if (["string", "number", "integer", "boolean"].includes(schema.type)) return schema.type;
  return "json";
}

const KIND_NAMES = { string: "text", number: "number", integer: "whole number", boolean: "yes or no", choice: "choice" };

/** The fields of an object schema. `read()` gives the arguments, or throws Unfit after it marked what does not fit. */
function schemaForm(root) {
  const required = new Set(Array.isArray(root.required) ? root.required : []);
  const fields = Object.entries(root.properties || {}).map(([name, raw]) => argument(name, resolved(raw, root), required.has(name)));
  const none = el("p", { class: "hint", text: "Takes no arguments." });
  const node = el("div", {}, fields.length ? fields.map((one) => one.node) : none);
  const read = () => {
    const given = fields.map((one) => [one.name, one.read()]);
    if (given.some(([, value]) => value instanceof Unfit)) {
      node.querySelector('[aria-invalid="true"]').focus();
      throw new Unfit("An argument does not fit.");
    }
    return Object.fromEntries(given.filter(([, value]) => value !== undefined));
  };
  return { node, read };
}

function argument(name, schema, isRequired) {
  const kind = kindOf(schema);
  const control = controlFor(kind, schema, isRequired);
  if (isRequired) control.setAttribute("aria-required", "true");
  const type = KIND_NAMES[kind] || `JSON${schema.type ? ` ${schema.type}` : ""}`;
  const shown = field(name, control, { kind: `${type}${isRequired ? "" : ", optional"}`, hint: hintOf(schema) });
  const read = () => {
    shown.complain("");
    try {
      return valueOf(kind, schema, control, isRequired);
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      shown.complain(error.message);
      return error;
    }
  };
  return { name, node: shown.node, read };
}

function hintOf(schema) {
  const bounds = [];
  if (schema.minimum !== undefined) bounds.push(`at least ${schema.minimum}`);
  if (schema.maximum !== undefined) bounds.push(`at most ${schema.maximum}`);
  if (schema.maxLength !== undefined) bounds.push(`at most ${schema.maxLength} characters`);
  if (schema.default !== undefined && schema.default !== null) bounds.push(`default ${JSON.stringify(schema.default)}`);
  return [schema.description, bounds.join(", ")].filter((part) => typeof part === "string" && part).join("\n");
}

function controlFor(kind, schema, isRequired) {
  if (kind === "boolean" && isRequired) return el("input", { type: "checkbox" });
  if (kind === "boolean") return selectOf([["", "not given"], ["true", "true"], ["false", "false"]]);
  if (kind === "choice") {
    const values = Array.isArray(schema.enum) ? schema.enum : [schema.const];
    const choices = values.map((value) => [JSON.stringify(value), typeof value === "string" ? value : JSON.stringify(value)]);
    return selectOf(isRequired ? choices : [["", "not given"], ...choices]);
  }
  if (kind === "string") return el("textarea", { rows: 2, spellcheck: "false" });
  if (kind === "json") return el("textarea", { rows: 3, spellcheck: "false", placeholder: schema.type === "array" ? "[…]" : "{…}" });
  return el("input", { type: "text", inputmode: kind === "integer" ? "numeric" : "decimal", autocomplete: "off" });
}

const selectOf = (choices) => el("select", {}, choices.map(([value, text]) => el("option", { value, text })));

function valueOf(kind, schema, control, isRequired) {
  if (control.type === "checkbox") return control.checked;
  const text = control.value;
  if (kind === "string") return text || isRequired ? text : undefined;
  if (text.trim() === "") {
    if (isRequired) throw new Unfit("This one is needed.");
    return undefined;
  }
  if (kind === "boolean" || kind === "choice") return JSON.parse(text);
  return kind === "json" ? jsonIn(text) : numberIn(text.trim(), kind);
}

function numberIn(text, kind) {
  const value = Number(text);
  if (!Number.isFinite(value)) throw new Unfit(`${JSON.stringify(text)} is no number.`);
  if (kind === "integer" && !Number.isInteger(value)) throw new Unfit(`${text} is no whole number.`);
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) throw new Unfit("This page cannot send so large a number exactly.");
  return value;
}

function jsonIn(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Unfit(`This is no JSON: ${error.message}`);
  }
}
