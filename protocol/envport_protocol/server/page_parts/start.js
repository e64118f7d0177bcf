// The beginning: the manifest, then what it says there is.

const RETRY_MS = 1500;

async function boot() {
  const place = byId("boot");
  try {
    const manifest = await ask("v1/manifest");
    const start = (task, control, told) => startRollout(manifest, task, control, told);
    place.replaceChildren();
    showEnvironment(manifest);
    showTasks(manifest.splits, start);
    showOwnTask(manifest.splits, start);
  } catch (error) {
    place.replaceChildren(refusal(error, boot));
    if (error.code === "not_ready") setTimeout(boot, RETRY_MS);
  }
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  const hint = byId("token-hint");
  hint.classList.remove("asked");
  hint.textContent = token ? "In use, in the memory of this page only." : "No token in use.";
});

boot();
