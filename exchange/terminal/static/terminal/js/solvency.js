/** The section that checks the proof of solvency in the page, and hands out what was checked. */

import { Decimal } from "./decimal.js";
import { byId, make, mark } from "./dom.js";
import { fullTime, gettext, number } from "./i18n.js";
import { explain, Problem } from "./problems.js";
import { balanceIn, checkSignature, ownId, possible } from "./proof.js";
import { toast } from "./toast.js";

const WRONG = {
  form: () => gettext("WRONG: this is not a proof."),
  twice: () => gettext("WRONG: one leaf is counted twice."),
  root: () => gettext("WRONG: your leaf does not lead to the published root."),
  signature: () => gettext("WRONG: the root was not signed with the exchange's key."),
};

export class Solvency {
  #api;
  #session;

  constructor(api, session) {
    this.#api = api;
    this.#session = session;
    byId("proof-check").addEventListener("click", () => this.#check());
    session.changed.on(() => this.#show([]));
  }

  #show(rows) {
    byId("proof-rows").replaceChildren(...rows);
    byId("proof-save").hidden = true;
  }

  async #check() {
    if (!possible()) {
      toast(gettext("Your browser works this out on secure pages (https) only."), "bad");
      return;
    }
    const button = byId("proof-check");
    button.disabled = true;
    try {
      const token = this.#session.token;
      const answer = await this.#api.get("solvency");
      const rows = [];
      for (const proof of answer.items) rows.push(await this.#row(proof, ownId(token), answer.public_key));
      if (token !== this.#session.token) return; // somebody else signed in meanwhile
      this.#show(rows.length ? rows : [make("li", { text: gettext("Nothing was published yet.") })]);
      this.#offer(answer);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      toast(explain(problem), "bad");
    } finally {
      button.disabled = false;
    }
  }

  async #row(proof, user, key) {
    const { report } = proof.document;
    let outcome;
    let right = false;
    try {
      const amount = new Decimal(await balanceIn(proof, user), report.scale);
      const signed = await checkSignature(proof.document, key);
      const values = { amount: number(amount), asset: report.asset };
      outcome = proof.leaves.length
        ? gettext("Your {amount} {asset} are in it.", values)
        : gettext("You had no {asset} then.", values);
      if (signed === null) outcome += ` ${gettext("The signature was not checked here.")}`;
      right = true;
    } catch (wrong) {
      outcome = (WRONG[wrong.code] ?? WRONG.form)();
    }
    const total = gettext("Owed to all: {total} {asset}, {time}", {
      total: number(report.owed_to_users),
      asset: report.asset,
      time: fullTime(report.taken_at),
    });
    const row = make("li", { "data-testid": `proof-${report.asset}` }, make("strong", { text: outcome }), make("span", { text: total }), make("code", { text: report.root }));
    mark(row, "right", right ? "yes" : "no");
    return row;
  }

  /** The answer as a file, for docs/check_leaf.py or whoever checks it somewhere else. */
  #offer(answer) {
    const link = byId("proof-save");
    if (link.href) URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(new Blob([JSON.stringify(answer, null, 1)], { type: "application/json" }));
    link.hidden = answer.items.length === 0;
  }
}
