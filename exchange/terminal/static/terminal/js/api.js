/** REST: `/api/v1` with the session's token, and problems as exceptions. */

import { Problem } from "./problems.js";

const BASE = "/api/v1/";
const TIMEOUT = 10_000;

/** JSON in and out; null for an empty answer. Throws Problem. */
export async function send(method, address, { body, headers = {} } = {}) {
  let response;
  let text;
  try {
    response = await fetch(address, {
      method,
      headers: { Accept: "application/json", ...(body && { "Content-Type": "application/json" }), ...headers },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT),
    });
    text = await response.text();
  } catch (error) {
    throw new Problem(0, "no_answer", String(error));
  }
  let data = null;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    throw new Problem(response.status, "internal_error", response.statusText);
  }
  if (!response.ok) throw new Problem(response.status, data?.code ?? "internal_error", data?.detail ?? "", data ?? {});
  return data;
}

export class Api {
  #session;

  constructor(session) {
    this.#session = session;
  }

  get(path, query) {
    return this.#send("GET", path, { query });
  }

  post(path, body) {
    return this.#send("POST", path, { body });
  }

  patch(path, body) {
    return this.#send("PATCH", path, { body });
  }

  delete(path, query) {
    return this.#send("DELETE", path, { query });
  }

  /** A token that has just ended is renewed once, unasked. */
  async #send(method, path, { query, body }) {
    const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null);
    const address = BASE + path + (given.length ? `?${new URLSearchParams(given)}` : "");
    const attempt = () => {
      const token = this.#session.token;
      return send(method, address, { body, headers: token ? { Authorization: `Bearer ${token}` } : {} });
    };
    try {
      return await attempt();
    } catch (problem) {
      if (problem.status !== 401 || !this.#session.token || !(await this.#session.renew())) throw problem;
      return attempt();
    }
  }
}
