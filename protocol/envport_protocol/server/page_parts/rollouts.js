// The rollouts of this page: each has a panel of its own, and a button that shows it.

const rollouts = [];

/** Starts a rollout and shows it. `control` is disabled meanwhile, a refusal is shown in `place`. */
function startRollout(manifest, task, control, place) {
  const family = `page-${uuid()}`; // a fork shares it, so that one worker holds both
  const rollout_id = `${family}.0`;
  return attempt(control, place, async () => {
    const answer = await post("start_rollout", { rollout_id, ...task });
    addRollout(manifest, { ...answer, family: { name: family, members: 1 }, calls: [] });
  });
}

function addRollout(manifest, started) {
  const number = rollouts.length + 1;
  const rollout = { ...started, number, ended: false };
  rollouts.push(rollout);
  rollout.tab = button(`Rollout ${number}`, () => show(rollout), { "aria-pressed": "false" });
  rollout.panel = panel(manifest, rollout);
  byId("tabs").append(rollout.tab);
  byId("tabs").hidden = false;
  byId("empty").hidden = true;
  byId("panels").append(rollout.panel);
  show(rollout);
}

function show(rollout) {
  for (const one of rollouts) {
    one.panel.hidden = one !== rollout;
    one.tab.setAttribute("aria-pressed", String(one === rollout));
  }
  const messages = rollout.panel.querySelector(".conversation");
  messages.scrollTop = messages.scrollHeight; // the task comes last, after what many of them have in common
  rollout.panel.querySelector("h2").focus();
}

function panel(manifest, rollout) {
  return el("div", { class: "panel" }, conversationCard(manifest, rollout), callsCard(manifest, rollout), answerCard(manifest, rollout));
}

function conversationCard(manifest, rollout) {
  const told = el("div", { "aria-live": "polite" });
  const state = el("span", { class: "badge good", text: "open" });
  const fork = button("Fork", () => forkRollout(manifest, rollout, fork, told));
  const end = button("End rollout", () => endRollout(rollout, state, end, told));
  fork.hidden = !manifest.capabilities.includes("fork");
  const task = rollout.task_id ? `Task ${rollout.task_id}` : "A task of your own";
  const from = rollout.forked_from ? ` · forked from rollout ${rollout.forked_from}` : "";
  const title = el("h2", { tabindex: -1 }, `Rollout ${rollout.number} `, state);
  const about = el("p", { class: "hint" }, `${task}${from} · `, el("code", { text: rollout.rollout_id }));
  return el(
    "section",
    { class: "card", "aria-label": `Rollout ${rollout.number}` },
    el("div", { class: "head" }, el("div", {}, title, about), el("div", { class: "row" }, fork, end)),
    told,
    conversation(rollout),
    rollout.token && manifest.capabilities.includes("mcp") ? modelAccess(rollout) : null,
  );
}

function conversation(rollout) {
  const label = `Messages of rollout ${rollout.number}`;
  return el("div", { class: "conversation", tabindex: 0, role: "group", "aria-label": label }, rollout.messages.map(said));
}

function said(message) {
  const who = { system: "System", user: "User", assistant: "Assistant", tool: "Tool" }[message.role];
  return el("div", { class: `said ${message.role}` }, el("p", { class: "who", text: who }), el("pre", { text: message.content }));
}

function modelAccess(rollout) {
  const lines = `${new URL("mcp", document.baseURI)}\nAuthorization: Bearer ${rollout.token}`;
  return el(
    "details",
    {},
    el("summary", { text: "Let a model call these tools over MCP" }),
    el("p", { class: "hint", text: "Address and header for an MCP client. The token reaches the tools of this rollout and nothing else." }),
    el("pre", { class: "schema", tabindex: 0, role: "group", "aria-label": "Access over MCP", text: lines }),
  );
}

function forkRollout(manifest, rollout, control, place) {
  const family = rollout.family;
  const new_rollout_id = `${family.name}.${family.members++}`;
  return attempt(control, place, async () => {
    const answer = await post("fork_rollout", { rollout_id: rollout.rollout_id, new_rollout_id });
    addRollout(manifest, { ...answer, family, forked_from: rollout.number, calls: [...rollout.calls] });
  });
}

function endRollout(rollout, state, control, place) {
  return attempt(control, place, async () => {
    await post("end_rollout", { rollout_id: rollout.rollout_id });
    closePanel(rollout, state);
    return ONCE;
  });
}

function closePanel(rollout, state) {
  rollout.ended = true;
  state.textContent = "ended";
  state.className = "badge";
  for (const control of rollout.panel.querySelectorAll("button, input, select, textarea")) control.disabled = true;
}
