// SHA-256 (FIPS 180-4). Browsers offer it only to pages that came over TLS; a lab's machine has none.

const BITS = 2 ** 32;

export async function sha256(text) {
  const message = new TextEncoder().encode(text);
  return crypto.subtle ? new Uint8Array(await crypto.subtle.digest("SHA-256", message)) : digest(message);
}

export function digest(message) {
  const state = roots(8, 1 / 2), k = roots(64, 1 / 3);
  const blocks = padded(message);
  for (let at = 0; at < blocks.byteLength; at += 64) compress(state, k, new DataView(blocks.buffer, at, 64));
  const out = new DataView(new ArrayBuffer(32));
  state.forEach((word, position) => out.setUint32(4 * position, word));
  return new Uint8Array(out.buffer);
}

function padded(message) {
  const length = (message.length + 9 + 63) & ~63;
  const out = new Uint8Array(length);
  out.set(message);
  out[message.length] = 0x80;
  new DataView(out.buffer).setUint32(length - 4, message.length * 8);
  return out;
}

// The first 32 bits of the fractions of the first primes' roots.
function roots(count, power) {
  const primes = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime)) primes.push(n);
  return Uint32Array.from(primes, (prime) => (prime ** power % 1) * BITS);
}

function compress(state, k, block) {
  const w = new Uint32Array(64);
  for (let t = 0; t < 64; t++) w[t] = t < 16 ? block.getUint32(4 * t) : small(w[t - 2], 17, 19, 10) + w[t - 7] + small(w[t - 15], 7, 18, 3) + w[t - 16];
  let [a, b, c, d, e, f, g, h] = state;
  for (let t = 0; t < 64; t++) {
    const first = (h + large(e, 6, 11, 25) + ((e & f) ^ (~e & g)) + k[t] + w[t]) | 0;
    const second = (large(a, 2, 13, 22) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [a, b, c, d, e, f, g, h] = [(first + second) | 0, a, b, c, (d + first) | 0, e, f, g];
  }
  [a, b, c, d, e, f, g, h].forEach((word, position) => (state[position] += word));
}

const right = (word, by) => (word >>> by) | (word << (32 - by));
const large = (word, x, y, z) => right(word, x) ^ right(word, y) ^ right(word, z);
const small = (word, x, y, shift) => right(word, x) ^ right(word, y) ^ (word >>> shift);
