// What the environment says of itself.

function showEnvironment(manifest) {
  document.title = `${manifest.name} · envport`;
  byId("name").textContent = manifest.name;
  byId("summary").textContent = manifest.summary || "";
  byId("facts").replaceChildren(...facts(manifest));
  byId("capabilities").replaceChildren(...manifest.capabilities.map((text) => el("li", { text })));
  byId("rewards").replaceChildren(rewardTable(manifest.rewards));
  byId("tools").replaceChildren(...toolList(manifest.tools));
}

function facts(manifest) {
  const rows = [
    ["Version", manifest.version],
    ["Licence", manifest.licence],
    ["Protocol", `${manifest.protocol.min} to ${manifest.protocol.max}`],
    manifest.digest ? ["Digest", manifest.digest, "mono"] : ["Digest", "none, served from a working folder"],
  ];
  return rows
    .filter(([, value]) => value)
    .map(([name, value, look]) => el("div", {}, el("dt", { text: name }), el("dd", { class: look, text: value })));
}

function rewardTable(rewards) {
  if (!rewards.length) return el("p", { class: "hint", text: "This environment declares no components beforehand." });
  const rows = rewards.map((spec) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, spec.name, spec.description ? el("p", { class: "hint", text: spec.description }) : null),
      el("td", { class: "figure", text: figure(spec.weight) }),
      el("td", { class: "figure", text: `${figure(spec.min)} to ${figure(spec.max)}` }),
    ),
  );
  const head = el("tr", {}, el("th", { scope: "col", text: "Component" }), figureHead("Weight"), figureHead("Range"));
  return el("table", {}, el("thead", {}, head), el("tbody", {}, rows));
}

const figureHead = (text) => el("th", { scope: "col", class: "figure", text });

function toolList(tools) {
  if (!tools.length) return [el("p", { class: "hint", text: "No tools, or other ones in each rollout." })];
  return tools.map((tool) =>
    el(
      "details",
      {},
      el("summary", {}, el("code", { text: tool.name })),
      tool.description ? el("p", { text: tool.description }) : null,
      el("pre", { class: "schema", tabindex: 0, role: "group", "aria-label": `Schema of ${tool.name}`, text: pretty(tool.parameters) }),
    ),
  );
}
