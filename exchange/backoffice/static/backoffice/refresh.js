// Keeps a part of a page fresh: fetches its fragment every few seconds while somebody looks, and says so if that fails.

const panel = document.getElementById("panel");
const state = document.getElementById("panel-state");
const every = Number(panel.dataset.seconds) * 1000;
let last = new Date();

async function refresh() {
  try {
    const answer = await fetch(panel.dataset.address, { headers: { Accept: "text/html" }, redirect: "manual" });
    if (answer.type === "opaqueredirect") {
      location.reload(); // signed out: the page asks who it is
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    panel.replaceChildren(...fresh.body.childNodes);
    last = new Date();
    panel.classList.remove("bo-old");
    state.textContent = "";
  } catch {
    panel.classList.add("bo-old");
    state.textContent = `${panel.dataset.failed} ${last.toLocaleTimeString()}`;
  }
}

async function keepFresh() {
  if (!document.hidden) await refresh();
  setTimeout(keepFresh, every);
}

setTimeout(keepFresh, every);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
