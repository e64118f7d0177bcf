// The tools of a rollout as forms, and the calls that were made.

function callsCard(manifest, rollout) {
  const made = el("ol", { class: "calls", "aria-live": "polite" });
  const none = el("p", { class: "hint", text: "None yet." });
  const card = el("section", { class: "card", "aria-label": `Tools of rollout ${rollout.number}` });
  const show = (call) => {
    none.hidden = true;
    made.append(call);
  };
  rollout.calls.forEach((call) => show(inherited(call)));
  const tools = rollout.tools.map((tool, index) => toolForm(manifest, rollout, tool, show, index === 0));
  const empty = el("p", { class: "hint", text: "No tools in this rollout." });
  card.append(el("h2", { text: "Call a tool" }), ...(tools.length ? tools : [empty]), el("h2", { class: "after", text: "Calls made" }), none, made);
  return card;
}

function toolForm(manifest, rollout, tool, show, isOpen) {
  const form = schemaForm(tool.parameters);
  const raw = field("Arguments as JSON", el("textarea", { rows: 4, spellcheck: "false" }));
  const asJson = el("input", { type: "checkbox", id: freshId("as-json"), onchange: swap });
  const run = button(`Run ${tool.name}`, null, { type: "submit", class: "primary" });
  raw.node.hidden = true;

  function swap() {
    raw.node.hidden = !asJson.checked;
    form.node.hidden = asJson.checked;
    if (asJson.checked && !raw.control.value) raw.control.value = "{\n  \n}";
  }

  function submit(event) {
    event.preventDefault();
    let given;
    raw.complain("");
    try {
      given = asJson.checked ? jsonIn(raw.control.value) : form.read();
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      if (asJson.checked) raw.complain(error.message);
      return;
    }
    runTool(manifest, rollout, tool.name, given, run, show);
  }

  const choice = el("p", { class: "field" }, asJson, el("label", { class: "check", for: asJson.id, text: "Write the arguments as JSON" }));
  const inner = el("form", { onsubmit: submit, novalidate: true }, form.node, raw.node, choice, run);
  const about = tool.description ? el("p", { class: "hint", text: tool.description }) : null;
  const group = `tools-of-${rollout.number}`; // one open at a time
  return el("details", { open: isOpen, name: group }, el("summary", {}, el("code", { text: tool.name })), about, inner);
}

/** Calls the tool and shows what came of it. Trying again sends the same id, so the tool runs once. */
function runTool(manifest, rollout, tool_name, given, control, show) {
  const call_id = uuid();
  const request = { rollout_id: rollout.rollout_id, call_id, tool_name, arguments: given };
  const outcome = el("span", { class: "badge", text: "running" });
  const time = el("span", { class: "hint" });
  const place = el("div");
  const stop = button("Cancel", () => attempt(stop, el("div"), () => post("cancel", { rollout_id: rollout.rollout_id, call_id })), { class: "small" });
  stop.hidden = !manifest.capabilities.includes("cancel");
  show(callItem(tool_name, given, [outcome, time, stop], place));

  async function call() {
    const began = performance.now();
    control.disabled = true;
    try {
      const answer = await post("run_tool", request);
      rollout.calls.push({ ...request, answer, ms: performance.now() - began });
      mark(outcome, answer.outcome);
      place.replaceChildren(...answerParts(answer));
    } catch (error) {
      mark(outcome, error instanceof Refusal ? error.outcome || error.code : "error");
      place.replaceChildren(refusal(error, call));
    } finally {
      time.textContent = `${Math.round(performance.now() - began)} ms`;
      stop.hidden = true;
      control.disabled = rollout.ended;
    }
  }

  return call();
}

function mark(badge, outcome) {
  badge.textContent = outcome;
  badge.className = `badge ${outcome === "ok" ? "good" : outcome === "tool_error" ? "warn" : "bad"}`;
}

function inherited({ tool_name, arguments: given, answer, ms }) {
  const outcome = el("span");
  mark(outcome, answer.outcome);
  const place = el("div", {}, answerParts(answer));
  return callItem(tool_name, given, [outcome, el("span", { class: "hint", text: `${Math.round(ms)} ms, before the fork` })], place);
}

function callItem(name, given, marks, place) {
  return el(
    "li",
    {},
    el("div", { class: "line" }, el("code", {}, el("b", { text: name })), el("span", { class: "spacer" }), marks),
    el("code", { class: "given", text: JSON.stringify(given) }),
    place,
  );
}

function answerParts(answer) {
  const text = answer.content.map((block) => block.text).join("\n");
  const steps = Object.entries(answer.rewards || {}).map(([name, score]) => `${name} ${figure(score)}`);
  return [
    el("pre", { class: "output", tabindex: 0, role: "group", "aria-label": "What the tool said", text: text || "(no text)" }),
    steps.length ? el("p", { class: "hint", text: `Step rewards: ${steps.join(", ")}` }) : null,
    answer.done ? el("p", { class: "hint", text: "The environment says that the rollout is over: submit the answer." }) : null,
  ].filter(Boolean);
}
