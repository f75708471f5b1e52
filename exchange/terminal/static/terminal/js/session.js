/**
 * Who is signed in. The access token is kept in memory only and renewed before it ends; what outlives the page
 * is a cookie that scripts cannot read (see `exchange/terminal/session.py`).
 */

import { send } from "./api.js";
import { Signal } from "./dom.js";
import { config } from "./i18n.js";

const EARLY = 0.8; // of its life, a token is renewed
const AGAIN = 15_000; // ms until another try when renewing got no answer

export class Session {
  member = null; // {access, email, may_trade, fees}
  changed = new Signal(); // (member, ended): `ended` when it was not the user who signed out
  renewed = new Signal(); // (token)
  #timer = 0;
  #renewing = null;

  get token() {
    return this.member?.access ?? null;
  }

  async signIn(email, password) {
    this.#use(await this.#ask("POST", { email, password }));
  }

  async signOut() {
    await this.#ask("DELETE");
    this.#use(null);
  }

  /** Takes up the session of an earlier page, or gets a new token; true if somebody is signed in. */
  renew() {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = null;
    });
    return this.#renewing;
  }

  async #renew() {
    let member;
    try {
      member = await this.#ask("PUT");
    } catch (problem) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.renew(), AGAIN);
      if (!this.member) this.changed.emit(null, false);
      return false;
    }
    this.#use(member);
    return member !== null;
  }

  #ask(method, body) {
    return send(method, config.session, { body, headers: { "X-CSRFToken": config.csrf } });
  }

  #use(member) {
    const before = this.member;
    this.member = member;
    clearTimeout(this.#timer);
    if (member) {
      this.#timer = setTimeout(() => this.renew(), member.expires_in * 1000 * EARLY);
      if (before?.email === member.email) {
        this.renewed.emit(member.access);
        return;
      }
    }
    this.changed.emit(member, before !== null);
  }
}
