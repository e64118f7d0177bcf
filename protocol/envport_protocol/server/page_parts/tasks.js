// The environment's tasks, page by page, and the form for a task of one's own.

const PAGE_SIZE = 8;

function showTasks(splits, start) {
  const place = byId("tasks");
  if (!splits.length) {
    place.replaceChildren(el("p", { class: "hint", text: "This environment brings no tasks of its own. Write one below." }));
    return;
  }
  const list = el("ol", { class: "task-list" });
  const told = el("div", { "aria-live": "polite" });
  const sizes = (split) => (split.size === null ? "endless" : split.size.toLocaleString("en"));
  const chooser = field("Split", selectOf(splits.map((split) => [split.name, `${split.name} (${sizes(split)})`])));
  const range = el("span", { class: "hint", "aria-live": "polite" });
  const previous = button("Previous", () => turn(offset - PAGE_SIZE), { class: "small" });
  const next = button("Next", () => turn(offset + PAGE_SIZE), { class: "small" });
  const jump = el("input", { type: "text", inputmode: "numeric", "aria-label": "Go to task number", placeholder: "No." });
  const go = el("form", { class: "jump", onsubmit: goTo }, jump, button("Go", null, { type: "submit", class: "small" }));
  let offset = 0;
  let latest = 0;

  function goTo(event) {
    event.preventDefault();
    const index = Number(jump.value);
    if (jump.value.trim() && Number.isInteger(index) && index >= 0) turn(index);
    else jump.setAttribute("aria-invalid", "true");
  }

  async function turn(to) {
    const split = chooser.control.value;
    const question = ++latest;
    const wanted = Math.max(0, to);
    jump.removeAttribute("aria-invalid");
    try {
      const query = new URLSearchParams({ split, offset: wanted, limit: PAGE_SIZE });
      const page = await ask(`v1/tasks?${query}`);
      if (question !== latest) return; // another page was asked for meanwhile
      offset = wanted;
      told.replaceChildren();
      list.replaceChildren(...page.tasks.map((task) => taskRow(task, start, told)));
      const last = offset + page.tasks.length;
      const total = page.total === null ? "an endless split" : page.total.toLocaleString("en");
      range.textContent = page.tasks.length ? `${offset} to ${last - 1} of ${total}` : `No task from ${offset} on`;
      previous.disabled = offset === 0;
      next.disabled = page.total !== null && last >= page.total;
    } catch (error) {
      if (question === latest) told.replaceChildren(refusal(error, () => turn(wanted)));
    }
  }

  chooser.control.addEventListener("change", () => turn(0));
  place.replaceChildren(chooser.node, told, list, el("div", { class: "pager" }, el("div", { class: "row" }, previous, next), range, go));
  byId("token-form").addEventListener("submit", () => turn(offset));
  turn(0);
}

function taskRow(task, start, told) {
  const asked = task.messages.filter((message) => message.role === "user").at(-1) || task.messages.at(-1);
  const name = `Start a rollout on task ${task.index} of ${task.split}`;
  const begin = button("Start", (event) => start({ task_id: task.task_id }, event.currentTarget, told), { class: "small", "aria-label": name });
  return el(
    "li",
    {},
    el("span", { class: "number", text: task.index }),
    el("span", { class: "excerpt", title: task.task_id, text: asked ? asked.content : task.task_id }),
    begin,
  );
}

function showOwnTask(splits, start) {
  const prompt = field("Message of the user", el("textarea", { rows: 3 }));
  const system = field("System message", el("textarea", { rows: 1 }), { kind: "optional" });
  const truth = field("Ground truth", el("textarea", { rows: 1, spellcheck: "false" }), {
    kind: "optional",
    hint: "What the reward compares with: JSON, or else text.",
  });
  const seed = field("Seed", el("input", { type: "text", inputmode: "numeric", value: "0" }));
  const told = el("div", { "aria-live": "polite" });
  const submit = button("Start rollout", null, { type: "submit", class: "primary" });
  const form = el("form", { onsubmit: begin, novalidate: true }, prompt.node, system.node, truth.node, seed.node, submit, told);

  function begin(event) {
    event.preventDefault();
    prompt.complain(prompt.control.value.trim() ? "" : "Write what the model is asked.");
    const number = Number(seed.control.value);
    seed.complain(Number.isSafeInteger(number) ? "" : "The seed is a whole number.");
    const wrong = form.querySelector('[aria-invalid="true"]');
    if (wrong) return wrong.focus();
    const messages = [{ role: "user", content: prompt.control.value }];
    if (system.control.value.trim()) messages.unshift({ role: "system", content: system.control.value });
    const task = { messages, seed: number };
    if (truth.control.value.trim()) task.ground_truth = jsonOrText(truth.control.value);
    return start(task, submit, told);
  }

  byId("own").replaceChildren(splits.length ? el("details", {}, el("summary", { text: "Write one" }), form) : form);
}

function jsonOrText(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
