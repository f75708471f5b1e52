/** The page's own parts: tabs, views on a phone, dialogs, single keys, the connection's state. */

import { byId, kept, mark, write } from "./dom.js";
import { gettext } from "./i18n.js";

const PHONE = matchMedia("(max-width: 760px)");

/** Tabs as WAI-ARIA describes them: arrows move and choose, one tab stop for all. */
export function startTabs() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const choose = (tab) => {
    for (const each of tabs) {
      const chosen = each === tab;
      each.setAttribute("aria-selected", String(chosen));
      each.tabIndex = chosen ? 0 : -1;
      byId(each.getAttribute("aria-controls")).hidden = !chosen;
    }
  };
  for (const tab of tabs) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
      next.focus();
      next.click();
    });
  }
}

/** On a phone one part is shown at a time. */
export function show(view) {
  document.body.dataset.view = view;
  for (const button of document.querySelectorAll(".views button")) {
    if (button.dataset.view === view) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
}

export function startViews() {
  for (const button of document.querySelectorAll(".views button")) button.addEventListener("click", () => show(button.dataset.view));
  byId("symbol").addEventListener("click", () => {
    show("markets");
    byId("market-search").focus();
  });
}

export function startDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    for (const button of dialog.querySelectorAll("[data-close]")) button.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close(); // beside it
    });
  }
  byId("help").addEventListener("click", () => byId("help-dialog").showModal());
}

/** Single keys, unless somebody writes or has switched them off (WCAG 2.1.4). */
export function startKeys(form) {
  const on = byId("keys-on");
  on.checked = kept.get("keys", "on") === "on";
  on.addEventListener("change", () => kept.set("keys", on.checked ? "on" : "off"));
  const acts = {
    b: () => trade(form, "BUY"),
    s: () => trade(form, "SELL"),
    o: () => {
      show("book");
      byId("ladder").focus();
    },
    "/": () => {
      show("markets");
      byId("market-search").focus();
    },
    "?": () => byId("help-dialog").showModal(),
  };
  document.addEventListener("keydown", (event) => {
    const writes = event.target.matches("input:not([type=radio]):not([type=checkbox]), select, textarea");
    if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
      document.activeElement?.blur();
      return;
    }
    if (!on.checked || writes || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

function trade(form, side) {
  show("order");
  form.focus(side);
}

/** A price from the book: on a phone that leads to the form. */
export function toOrder() {
  if (PHONE.matches) show("order");
}

/** `stale`: this market's matcher is not heard of, though the connection is fine. */
export function showConnection(state, stale) {
  const texts = {
    live: gettext("Live"),
    connecting: gettext("Connecting"),
    stale: gettext("Stale"),
    offline: gettext("Offline"),
  };
  const banners = {
    stale: gettext("No sign of life from the exchange for 3 seconds: prices may be out of date."),
    offline: gettext("The connection is lost: prices are out of date. Trying again…"),
  };
  const shown = state === "live" && stale ? "stale" : state;
  mark(document.documentElement, "state", shown);
  write(byId("connection-text"), texts[shown]);
  const text = state === "live" && stale ? gettext("This market is not being matched at the moment: prices are out of date.") : banners[shown];
  write(byId("banner"), text ?? "");
  byId("banner").hidden = !text;
}
