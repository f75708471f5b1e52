/**
 * API keys: the list, a form for a new one, and its secret, which is on the page from its making until it was kept
 * or the dialog is closed, and nowhere else.
 */

import { byId, make, mark, write } from "./dom.js";
import { date, dayTime, fullTime, gettext } from "./i18n.js";
import { explain } from "./problems.js";
import { Table } from "./table.js";
import { toast } from "./toast.js";

const SCOPES = {
  READ: () => gettext("read"),
  TRADE: () => gettext("trade"),
  WITHDRAW: () => gettext("withdraw"),
};
const ENDED = { EXPIRED: () => gettext("expired"), REVOKED: () => gettext("revoked") };

/** What is wrong with a field that the exchange names, in the page's language. */
const WRONG = {
  name: () => gettext("Give the key a name of at most 60 characters."),
  public_key: () => gettext("This is no Ed25519 public key."),
  addresses: () => gettext("A key that may withdraw needs at least one address."),
  expires_at: () => gettext("The last day must be in the future."),
};

const lines = (text) =>
  text
    .split(/[\s,;]+/)
    .map((each) => each.trim())
    .filter(Boolean);

/** The end of a day as people here count it, as an instant; null for none. */
const endOf = (day) => (day ? new Date(`${day}T23:59:59`).toISOString() : null);

function moment(cell, at, shown, otherwise) {
  write(cell, at ? shown(at) : otherwise);
  cell.title = at ? fullTime(at) : "";
}

export class Keys {
  #api;
  #keys = [];
  #cursor = null;
  #sure = null; // the key that the next click revokes
  #turn = 0; // goes up when somebody else signs in: answers of before are not for them
  #table;

  constructor(api, session) {
    this.#api = api;
    this.#table = new Table(
      byId("api-keys-rows"),
      [
        { draw: (cell, key) => this.#name(cell, key) },
        { draw: (cell, key) => write(cell, key.scopes.map((scope) => SCOPES[scope]()).join(", ")) },
        { draw: (cell, key) => write(cell, key.addresses.join(", ") || gettext("everywhere")) },
        { draw: (cell, key) => (ENDED[key.status] ? write(cell, ENDED[key.status]()) : moment(cell, key.expires_at, date, "–")) },
        { draw: (cell, key) => this.#used(cell, key) },
        { draw: (cell, key) => this.#actions(cell, key) },
      ],
      (key) => key.key_id,
    );
    this.#listen();
    session.changed.on(() => this.#forget());
  }

  #listen() {
    byId("api-keys").addEventListener("click", () => this.#open());
    byId("api-keys-dialog").addEventListener("close", () => this.#step(null));
    byId("api-keys-more").addEventListener("click", () => this.#load());
    byId("api-key-new").addEventListener("click", () => {
      this.#step("form");
      byId("api-key-name").focus();
    });
    byId("api-key-cancel").addEventListener("click", () => this.#step(null));
    byId("api-key-done").addEventListener("click", () => this.#step(null));
    byId("api-key-copy").addEventListener("click", () => copy(byId("api-key-secret")));
    byId("api-key-copy-id").addEventListener("click", () => copy(byId("api-key-id")));
    byId("api-key-kind").addEventListener("change", () => this.#kind());
    byId("api-key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#make();
    });
  }

  #open() {
    this.#step(null);
    byId("api-keys-dialog").showModal();
    this.#reload();
  }

  #forget() {
    this.#turn += 1;
    this.#keys = [];
    byId("api-keys-dialog").close();
    this.#step(null);
    this.#show();
  }

  /** What stands below the list: "form", "made", or nothing. A secret goes whenever this changes. */
  #step(part) {
    byId("api-key-form").hidden = part !== "form";
    byId("api-key-made").hidden = part !== "made";
    byId("api-keys-actions").hidden = part !== null;
    byId("api-key-secret").value = "";
    byId("api-key-id").value = "";
    if (part !== "form") byId("api-key-form").reset();
    write(byId("api-key-error"), "");
    this.#kind();
  }

  #kind() {
    byId("api-key-public-field").hidden = byId("api-key-kind").value !== "ED25519";
  }

  #reload() {
    this.#keys = [];
    this.#cursor = null;
    return this.#load();
  }

  async #load() {
    const turn = this.#turn;
    try {
      const page = await this.#api.get("keys", { limit: 50, cursor: this.#cursor });
      if (turn !== this.#turn) return;
      this.#keys.push(...page.items);
      this.#cursor = page.next_cursor;
      write(byId("api-keys-error"), "");
      this.#show();
    } catch (problem) {
      if (turn === this.#turn) write(byId("api-keys-error"), explain(problem));
    }
  }

  async #make() {
    const turn = this.#turn;
    const asked = this.#asked();
    byId("api-key-make").disabled = true;
    write(byId("api-key-error"), "");
    try {
      const { key, secret } = await this.#api.post("keys", asked);
      if (turn !== this.#turn) return;
      this.#keys.unshift(key);
      this.#show();
      this.#step("made");
      byId("api-key-id").value = key.key_id;
      byId("api-key-secret").value = secret ?? "";
      byId("api-key-secret-part").hidden = byId("api-key-copy").hidden = secret === null;
      byId(secret === null ? "api-key-id" : "api-key-secret").select();
    } catch (problem) {
      if (turn === this.#turn) write(byId("api-key-error"), wrong(problem, asked));
    } finally {
      byId("api-key-make").disabled = false;
    }
  }

  #asked() {
    const kind = byId("api-key-kind").value;
    const scopes = ["READ"];
    if (byId("api-key-trade").checked) scopes.push("TRADE");
    if (byId("api-key-withdraw").checked) scopes.push("WITHDRAW");
    return {
      name: byId("api-key-name").value,
      kind,
      scopes,
      addresses: lines(byId("api-key-addresses").value),
      expires_at: endOf(byId("api-key-end").value),
      ...(kind === "ED25519" && { public_key: byId("api-key-public").value }),
    };
  }

  async #revoke(key) {
    if (this.#sure !== key.key_id) {
      this.#sure = key.key_id;
      this.#show();
      return;
    }
    const turn = this.#turn;
    this.#sure = null;
    try {
      const revoked = await this.#api.delete(`keys/${key.key_id}`);
      if (turn !== this.#turn) return;
      this.#keys = this.#keys.map((each) => (each.key_id === revoked.key_id ? revoked : each));
      toast(gettext("The key is revoked."), "good");
    } catch (problem) {
      if (turn === this.#turn) toast(explain(problem), "bad");
    }
    this.#show();
  }

  #show() {
    this.#table.show(this.#keys, (row, key) => {
      mark(row, "testid", "api-key");
      mark(row, "status", key.status);
      mark(row, "key", key.key_id);
    });
    byId("api-keys-empty").hidden = this.#keys.length > 0;
    byId("api-keys-more").hidden = this.#cursor === null;
  }

  #name(cell, key) {
    if (cell.childElementCount === 0) cell.append(make("b"), make("code"));
    write(cell.firstElementChild, key.name);
    write(cell.lastElementChild, key.key_id);
  }

  #used(cell, key) {
    moment(cell, key.last_used_at, dayTime, gettext("never"));
    if (key.last_used_address) cell.title += ` · ${key.last_used_address}`;
  }

  #actions(cell, key) {
    if (key.status === "REVOKED") {
      cell.replaceChildren();
      return;
    }
    if (cell.childElementCount === 0) {
      const revoke = make("button", { type: "button", class: "plain", "data-testid": "api-key-revoke" });
      revoke.addEventListener("click", () => this.#revoke(key));
      cell.append(revoke);
    }
    write(cell.firstElementChild, this.#sure === key.key_id ? gettext("Really revoke?") : gettext("Revoke"));
  }
}

function wrong(problem, asked) {
  const named = (problem.body.errors ?? []).map(({ field }) => {
    const number = /^addresses\[(\d+)\]$/.exec(field)?.[1];
    if (number !== undefined) return gettext("{address} is not an address or network, such as 192.0.2.7 or 192.0.2.0/24.", { address: asked.addresses[number] });
    return WRONG[field]?.();
  });
  return named.length && named.every(Boolean) ? named.join(" ") : explain(problem);
}

/** Where the browser gives no clipboard (no TLS), the text is selected for the keyboard. */
async function copy(field) {
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    toast(gettext("Copied."), "good");
  } catch {
    toast(gettext("Selected: copy it with the keyboard."));
  }
}
