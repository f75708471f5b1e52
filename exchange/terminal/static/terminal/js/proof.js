/**
 * Is my balance part of what the exchange says it owes? Worked out here, from the answer of GET /api/v1/solvency, as
 * docs/check_leaf.py does it. Pure but for WebCrypto, which browsers give to secure pages only.
 *
 *   leaf = SHA-256("leaf|1|<proof>|<asset>|<user>|<part>|<nonce>|<amount>")
 *   node = SHA-256("node|1|<left hash>|<left sum>|<right hash>|<right sum>"), its sum is both sums together
 */

const SUM = /^(?:0|[1-9][0-9]{0,38})$/;
const HASH = /^[0-9a-f]{64}$/;
const text = new TextEncoder();

/** Something is not as it was promised; `code` says what. */
export class Wrong extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

export const possible = () => globalThis.crypto?.subtle !== undefined;

async function sha256(message) {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", text.encode(message)));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function sum(value) {
  if (typeof value !== "string" || !SUM.test(value)) throw new Wrong("form");
  return BigInt(value);
}

function hash(value) {
  if (typeof value !== "string" || !HASH.test(value)) throw new Wrong("form");
  return value;
}

async function parent(left, right) {
  return { hash: await sha256(`node|1|${left.hash}|${left.sum}|${right.hash}|${right.sum}`), sum: left.sum + right.sum };
}

async function rootAbove(leaf, report, user) {
  const amount = sum(leaf.amount);
  const fields = ["leaf", "1", report.id, report.asset, user, leaf.part, hash(leaf.nonce), amount];
  let node = { hash: await sha256(fields.join("|")), sum: amount };
  const { position, path } = leaf;
  if (path.length !== report.height || !Number.isInteger(position) || position < 0 || position >= 2 ** report.height) {
    throw new Wrong("form");
  }
  for (const [level, given] of path.entries()) {
    const beside = { hash: hash(given.hash), sum: sum(given.sum) };
    node = Math.floor(position / 2 ** level) % 2 ? await parent(beside, node) : await parent(node, beside);
  }
  return node;
}

/** My balance at that moment in the asset's smallest unit, if all my leaves are under the root. Throws Wrong. */
export async function balanceIn(proof, user) {
  const { report } = proof.document;
  const places = new Set(proof.leaves.map((leaf) => leaf.position));
  const parts = new Set(proof.leaves.map((leaf) => leaf.part));
  if (places.size !== proof.leaves.length || parts.size !== proof.leaves.length) throw new Wrong("twice");
  let mine = 0n;
  for (const leaf of proof.leaves) {
    const root = await rootAbove(leaf, report, user);
    if (root.hash !== report.root || root.sum !== sum(report.sum)) throw new Wrong("root");
    mine += sum(leaf.amount);
  }
  return mine;
}

/** JSON as it is signed: keys in order, no spaces. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const pairs = Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`);
  return `{${pairs.join(",")}}`;
}

const ALGORITHMS = { RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, Ed25519: { name: "Ed25519" } };

/** True if the key signed it, null if this browser does not know the algorithm. Throws Wrong if it did not. */
export async function checkSignature(document, pem) {
  const algorithm = ALGORITHMS[document.signature.algorithm];
  if (!algorithm || !pem) return null;
  const bytes = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  let key;
  try {
    key = await crypto.subtle.importKey("spki", bytes(pem.replace(/-----[^-]+-----|\s/g, "")), algorithm, false, ["verify"]);
  } catch {
    return null;
  }
  const signature = bytes(document.signature.value.replaceAll("-", "+").replaceAll("_", "/"));
  if (!(await crypto.subtle.verify(algorithm, key, signature, text.encode(canonical(document.report))))) throw new Wrong("signature");
  return true;
}

/** Whose token it is: that the answer says so too would prove nothing. */
export function ownId(token) {
  return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).user_id;
}
