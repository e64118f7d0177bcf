// Elements with text in them. Nothing here, and nothing on this page, reads text as markup.

const byId = (id) => document.getElementById(id);

/** An element. `text` is its text, `on…` a listener, anything else an attribute; null and false leave it out. */
function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const button = (label, onclick, properties = {}) => el("button", { type: "button", text: label, onclick, ...properties });

const pretty = (value) => JSON.stringify(value, null, 2);

/** At most four decimals, more only where nothing would be left of the number. */
function figure(number) {
  if (number !== 0 && Math.abs(number) < 0.0001) return number.toPrecision(3);
  return String(Number(number.toFixed(4)));
}

let lastId = 0;
/** An id for an element, never used before. */
const freshId = (prefix) => `${prefix}-${++lastId}`;

/** A label, a control and what is said of it, tied together for those who hear the page. */
function field(label, control, { kind = "", hint = "" } = {}) {
  const id = freshId("field");
  control.id = id;
  const problem = el("p", { class: "problem", id: `${id}-problem` });
  const told = hint ? el("p", { class: "hint", id: `${id}-hint`, text: hint }) : null;
  control.setAttribute("aria-describedby", [told && told.id, problem.id].filter(Boolean).join(" "));
  const heading = el("label", { for: id }, label, kind ? el("span", { class: "kind", text: ` ${kind}` }) : null);
  const node = el("div", { class: "field" }, heading, told, control, problem);
  return { node, control, complain: (text) => complain(control, problem, text) };
}

function complain(control, problem, text) {
  problem.textContent = text;
  if (text) control.setAttribute("aria-invalid", "true");
  else control.removeAttribute("aria-invalid");
}
