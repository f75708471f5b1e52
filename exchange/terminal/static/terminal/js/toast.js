/** Short messages on what the trader did; read out politely, gone after a while or at a click. */

import { byId, make } from "./dom.js";

const STAYS = 6_000;
const MOST = 4;

/** `kind`: "good", "bad" or "plain". */
export function toast(text, kind = "plain") {
  const box = byId("toasts");
  const message = make("p", { text, class: "toast", "data-kind": kind, "data-testid": "toast" });
  const leave = () => message.remove();
  message.addEventListener("click", leave);
  box.append(message);
  while (box.children.length > MOST) box.firstElementChild.remove();
  setTimeout(leave, kind === "bad" ? STAYS * 2 : STAYS);
}
