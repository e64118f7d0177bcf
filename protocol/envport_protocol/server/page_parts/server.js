// Questions to the server that this page came from, and to no other.

let token = "";

/** A refusal of the server, or the lack of any answer. */
class Refusal extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.outcome = error.outcome;
    this.details = error.details || {};
  }

  get answered() {
    return this.status !== 0;
  }

  /** Whose fault it was, in words. */
  get blame() {
    if (!this.answered) return "No answer came: the network, or a server that stopped. Trying again repeats nothing.";
    if (this.status === 401) return "The server wants a token that it knows. Enter one at the top of the page.";
    if (this.status === 403) return "The token does not reach so far. Enter the trainer's token at the top of the page.";
    const said = BLAME[this.outcome];
    if (said) return said;
    return this.status < 500 ? "The request is at fault." : "The server is at fault, not the environment.";
  }
}

const BLAME = {
  env_error: "The environment's own code is at fault.",
  timeout: "The call ran past its deadline.",
  cancelled: "The call was cancelled.",
  lost: "The server does not hold this rollout any more.",
  overloaded: "The server is full at the moment.",
  tool_error: "The call is at fault: the model would read this and go on.",
};

async function ask(path, body) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  const options = { headers, credentials: "omit", redirect: "error", cache: "no-store" };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  }
  let response, answer;
  try {
    response = await fetch(path, options);
    answer = await response.json();
  } catch (error) {
    if (response) throw new Refusal(response.status, { code: "not_json", message: "The answer is not JSON.", outcome: "" });
    throw new Refusal(0, { code: "no_answer", message: String(error.message || error), outcome: "" });
  }
  if (response.ok) return answer;
  if (response.status === 401) askForToken();
  throw new Refusal(response.status, answer.error || { code: "error", message: pretty(answer), outcome: "" });
}

const post = (verb, body) => ask(`v1/${verb}`, body);

function askForToken() {
  const hint = byId("token-hint");
  hint.textContent = token
    ? "The server does not know this token. Look for a typing error, or ask whoever runs the server."
    : "This server asks for a token. Enter the trainer's; it stays in the memory of this page.";
  hint.classList.add("asked");
}

/** Random and unguessable, also on plain http, where browsers have no randomUUID. */
function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** What the server refused, and a way to try again where it makes sense: the ids stay, so nothing runs twice. */
function refusal(error, again) {
  if (!(error instanceof Refusal)) throw error;
  const status = error.answered ? ` · HTTP ${error.status}` : "";
  const retry = again && (!error.answered || error.status === 503) ? button("Try again", again, { class: "small" }) : null;
  return el(
    "div",
    { class: "error", role: "alert" },
    el("strong", {}, el("code", { text: error.code }), status),
    el("p", { class: "message", text: error.message }),
    el("p", { class: "blame", text: error.blame }),
    retry,
  );
}

/** Runs `work` with the button disabled, for good where it gives ONCE; a refusal is shown in `place`. */
async function attempt(control, place, work) {
  place.replaceChildren();
  control.disabled = true;
  try {
    control.disabled = (await work()) === ONCE;
  } catch (error) {
    place.replaceChildren(refusal(error, () => attempt(control, place, work)));
    control.disabled = false;
  }
}

const ONCE = Symbol("once");
