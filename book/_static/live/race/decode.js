/* The digits of digits.js: {images, labels, train}. An arithmetic decoder, the twin of
   tools/race_digits.py, which says how it works. Uses nothing from outside: it goes to the worker. */
window.raceDecode = function (text) {
  "use strict";
  const ROWS = 1797, TRAIN = 1437, PRIOR = [1, 6, 12, 8];
  const bytes = new Uint8Array(text.length), letter = (i) => {
    const code = text.charCodeAt(i);
    return code - (code > 92 ? 36 : 35); // the backslash is left out
  };
  for (let i = 0, n = 0, value = 0, bits = 0; i < text.length; i += 2) {
    value = (value << 13) | (letter(i) * 91 + letter(i + 1));
    for (bits += 13; bits >= 8; value &= (1 << bits) - 1) bytes[n++] = value >>> (bits -= 8);
  }
  let low = 0, high = 2 ** 32 - 1, at = 4;
  let code = ((bytes[0] << 24) | (bytes[1] << 16) | (bytes[2] << 8) | bytes[3]) >>> 0;
  const seen = new Uint16Array(64 * 10 * 25 * 4 * 32 * 2); // by context, which, node and bit

  function bit(contexts, node) {
    let p = 0.5;
    for (let which = 0; which < contexts.length; which++) {
      const key = ((contexts[which] * 4 + which) * 32 + node) * 2, prior = PRIOR[which];
      p = (seen[key + 1] + prior * p) / (seen[key] + seen[key + 1] + prior);
    }
    const middle = low + Math.floor((high - low) * p), one = code <= middle ? 1 : 0;
    if (one) high = middle;
    else low = middle + 1;
    while ((low ^ high) >>> 24 === 0) {
      low = (low << 8) >>> 0;
      high = ((high << 8) | 255) >>> 0;
      code = ((code << 8) | bytes[at++]) >>> 0;
    }
    for (let which = 0; which < contexts.length; which++) {
      seen[((contexts[which] * 4 + which) * 32 + node) * 2 + one]++;
    }
    return one;
  }

  function four(contexts, first) {
    let node = 1;
    while (node < 16) node = 2 * node + bit(contexts, first + node);
    return node - 16;
  }

  const images = new Uint8Array(ROWS * 64), labels = new Uint8Array(ROWS);
  const coarse = (v) => (v > 0) + (v > 9), fine = (v) => (v > 0) + (v > 3) + (v > 8) + (v > 13);
  for (let row = 0; row < ROWS; row++) {
    const label = labels[row] = four([0], 16), image = images.subarray(row * 64, row * 64 + 64);
    for (let i = 0; i < 64; i++) {
      const up = i > 7 ? image[i - 8] : 0, left = i % 8 ? image[i - 1] : 0, place = i * 10 + label;
      const few = 3 * coarse(up) + coarse(left), many = 5 * fine(up) + fine(left);
      const where = [many, i * 9 + few, place * 9 + few, place * 25 + many];
      image[i] = bit(where, 0) ? 0 : bit(where, 1) ? 16 : four(where, 1);
    }
  }
  return {images, labels, train: TRAIN};
};
