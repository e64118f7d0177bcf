// The answer, and what it scores.

function answerCard(manifest, rollout) {
  const text = field("What the model would say at the end", el("textarea", { rows: 4, spellcheck: "false" }));
  const submit = button("Submit answer", null, { type: "submit", class: "primary" });
  const place = el("div", { "aria-live": "polite" });
  const onsubmit = (event) => {
    event.preventDefault();
    const request = { rollout_id: rollout.rollout_id, completion: completion(rollout, text.control.value) };
    return attempt(submit, place, async () => {
      place.replaceChildren(rewardView(manifest, await post("compute_reward", request)));
      return ONCE;
    });
  };
  const form = el("form", { onsubmit, novalidate: true }, text.node, submit);
  return el("section", { class: "card", "aria-label": `Answer of rollout ${rollout.number}` }, el("h2", { text: "Answer" }), form, place);
}

/** The answer alone, or the conversation with the calls that came before it, as a trainer would send it. */
function completion(rollout, text) {
  if (!rollout.calls.length) return text;
  const turns = rollout.calls.flatMap(({ call_id, tool_name, arguments: given, answer }) => [
    {
      role: "assistant",
      content: "",
      tool_calls: [{ id: call_id, type: "function", function: { name: tool_name, arguments: JSON.stringify(given) } }],
    },
    { role: "tool", tool_call_id: call_id, content: answer.content.map((block) => block.text).join("\n") },
  ]);
  return [...turns, { role: "assistant", content: text }];
}

function rewardView(manifest, answer) {
  const parts = Object.entries(answer.rewards).map(([name, { score, weight, reason }]) => ({
    name,
    score,
    weight,
    reason,
    gain: score === null ? 0 : score * weight,
  }));
  const most = Math.max(...parts.map(({ name, weight, gain }) => reach(manifest, name, weight, gain)), 0);
  const rows = parts.map((part) => rewardRow(part, most));
  const heads = [el("th", { scope: "col", text: "Component" }), figureHead("Score"), figureHead("Weight"), figureHead("Gives")];
  const table = el("table", { class: "reward" }, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows));
  const metrics = Object.entries(answer.metrics || {}).map(([name, value]) => `${name} ${figure(value)}`);
  return el(
    "div",
    { class: "field" },
    el("p", { class: "total" }, "Reward", el("b", { text: answer.reward === null ? "not scored" : figure(answer.reward) }), possible(manifest)),
    parts.length ? table : null,
    metrics.length ? el("p", { class: "hint", text: `Metrics: ${metrics.join(", ")}` }) : null,
  );
}

function possible({ rewards }) {
  if (!rewards.length) return null;
  const sum = (pick) => rewards.reduce((total, { weight, min, max }) => total + pick(weight * min, weight * max), 0);
  return el("span", { class: "hint", text: `${figure(sum(Math.min))} to ${figure(sum(Math.max))} are possible` });
}

/** The most that a component can give either way: what a full bar stands for. */
function reach(manifest, name, weight, gain) {
  const spec = manifest.rewards.find((one) => one.name === name);
  const ends = spec ? [spec.min * weight, spec.max * weight, gain] : [gain];
  return Math.max(...ends.map(Math.abs));
}

function rewardRow({ name, score, weight, reason, gain }, most) {
  const filled = el("i", { class: gain < 0 ? "minus" : "" });
  filled.style.width = `${most > 0 ? Math.min(100, (100 * Math.abs(gain)) / most) : 0}%`;
  return el(
    "tr",
    {},
    el(
      "th",
      { scope: "row" },
      name,
      el("div", { class: "bar", "aria-hidden": "true" }, filled),
      reason ? el("div", { class: "hint why", text: reason }) : null,
    ),
    el("td", { class: "figure", text: score === null ? "not scored" : figure(score) }),
    el("td", { class: "figure", text: figure(weight) }),
    el("td", { class: "figure", text: score === null ? "–" : figure(gain) }),
  );
}
