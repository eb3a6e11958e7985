/* Deep networks of dense layers, trained by Adam, in float64 and plain loops.

   h_0 = relu(V x + c);  h_l = merge(h_(l-1), relu(W_l u + b_l)), l = 1..depth;  logits = A z + a
   shortcut "none": the branch alone; "sum": h + f; "sqrt": h + f / sqrt(depth); "rezero": h + s_l f,
   s_l learned, from 0. Without norm u = h_(l-1) and z = h_depth; with norm both are the layer norm
   of these (no gain, no offset, eps 1e-5): it stands where each branch begins, and before the head.

   The text of this function also becomes the worker, so it uses nothing from outside. */
window.makeRaceEngine = function () {
  "use strict";
  const EPS = 1e-5;

  function random(seed) { // mulberry32: uniform in [0, 1)
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  function fillNormal(values, std, rng) { // Box and Muller
    for (let i = 0; i < values.length; i++) {
      values[i] = std * Math.sqrt(-2 * Math.log(1 - rng())) * Math.cos(2 * Math.PI * rng());
    }
  }

  // y = x w^T + b for x (n, k), w (m, k), y (n, m), in tiles of 4 x 2: n in fours, m even
  function product(x, w, b, y, n, k, m) {
    for (let r = 0; r < n; r += 4) {
      const x0 = r * k, x1 = x0 + k, x2 = x1 + k, x3 = x2 + k;
      for (let o = 0; o < m; o += 2) {
        const w0 = o * k, w1 = w0 + k;
        let a0 = b ? b[o] : 0, b0 = b ? b[o + 1] : 0;
        let a1 = a0, a2 = a0, a3 = a0, b1 = b0, b2 = b0, b3 = b0;
        for (let i = 0; i < k; i++) {
          const u = w[w0 + i], v = w[w1 + i];
          const p = x[x0 + i], q = x[x1 + i], s = x[x2 + i], t = x[x3 + i];
          a0 += p * u; a1 += q * u; a2 += s * u; a3 += t * u;
          b0 += p * v; b1 += q * v; b2 += s * v; b3 += t * v;
        }
        const at = r * m + o;
        y[at] = a0; y[at + m] = a1; y[at + 2 * m] = a2; y[at + 3 * m] = a3;
        y[at + 1] = b0; y[at + m + 1] = b1; y[at + 2 * m + 1] = b2; y[at + 3 * m + 1] = b3;
      }
    }
  }

  function relu(x, length) {
    for (let i = 0; i < length; i++) if (x[i] < 0) x[i] = 0;
  }

  function transpose(x, y, rows, columns) {
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) y[c * rows + r] = x[r * columns + c];
    }
  }

  // dw (m, k), db (m) and, where asked for, dx (n, k) from dy (n, m), x (n, k) and w (m, k)
  function denseBackward(dy, x, w, dw, db, dx, n, k, m, room) {
    transpose(dy, room[0], n, m);
    transpose(x, room[1], n, k);
    product(room[1], room[0], null, room[2], k, n, m); // dw^T: k is a multiple of four, m is even
    transpose(room[2], dw, k, m);
    for (let o = 0; o < m; o++) {
      let sum = 0;
      for (let r = 0; r < n; r++) sum += dy[r * m + o];
      db[o] = sum;
    }
    if (!dx) return;
    transpose(w, room[2], m, k);
    product(dy, room[2], null, dx, n, m, k);
  }

  function layerNorm(x, y, inverse, n, width) {
    for (let r = 0; r < n; r++) {
      const at = r * width;
      let mean = 0, square = 0;
      for (let i = 0; i < width; i++) mean += x[at + i];
      mean /= width;
      for (let i = 0; i < width; i++) square += (x[at + i] - mean) ** 2;
      const k = inverse[r] = 1 / Math.sqrt(square / width + EPS);
      for (let i = 0; i < width; i++) y[at + i] = (x[at + i] - mean) * k;
    }
  }

  function layerNormBackward(d, y, inverse, n, width) { // in place
    for (let r = 0; r < n; r++) {
      const at = r * width;
      let mean = 0, along = 0;
      for (let i = 0; i < width; i++) {
        mean += d[at + i];
        along += d[at + i] * y[at + i];
      }
      mean /= width;
      along /= width;
      for (let i = 0; i < width; i++) {
        d[at + i] = (d[at + i] - mean - y[at + i] * along) * inverse[r];
      }
    }
  }

  function network({depth, width, shortcut, norm, seed, inputs = 64, classes = 10, batch = 64}) {
    const modes = ["none", "sum", "sqrt", "rezero"];
    if (!modes.includes(shortcut)) {
      throw new RangeError(`shortcut must be one of ${modes}, got ${shortcut}`);
    }
    if (!(depth >= 1) || !(width >= 4) || width % 4 || inputs % 4 || batch % 4 || classes % 2) {
      throw new RangeError(
        "depth must be from 1, width, inputs and batch multiples of 4, classes even; " +
          `got ${[depth, width, inputs, batch, classes]}`);
    }
    const layout = {}; // name: [where it begins, its length] in one flat array
    let size = 0;
    const add = (name, length) => {
      layout[name] = [size, length];
      size += length;
    };
    add("stem.weight", width * inputs);
    add("stem.bias", width);
    for (let l = 1; l <= depth; l++) {
      add(`${l}.weight`, width * width);
      add(`${l}.bias`, width);
      if (shortcut === "rezero") add(`${l}.scale`, 1);
    }
    add("head.weight", classes * width);
    add("head.bias", classes);
    const make = (n) => new Float64Array(n);
    const theta = make(size), grad = make(size), first = make(size), second = make(size);
    const part = (flat, name) => {
      const [start, length] = layout[name];
      return flat.subarray(start, start + length);
    };
    const both = (name) => [part(theta, name), part(grad, name)];
    const [V, dV] = both("stem.weight"), [c, dc] = both("stem.bias");
    const [A, dA] = both("head.weight"), [a, da] = both("head.bias");
    const layers = Array.from({length: depth}, (_, l) => {
      const [w, dw] = both(`${l + 1}.weight`), [b, db] = both(`${l + 1}.bias`);
      const [s, ds] = shortcut === "rezero" ? both(`${l + 1}.scale`) : [];
      const h = make(batch * width); // the stream behind this layer
      const f = shortcut === "none" ? h : make(batch * width);
      return {w, dw, b, db, s, ds, h, f, u: norm && make(batch * width), inverse: norm && make(batch)};
    });
    // He et al. (2015), eq. 10; the head has no ReLU behind it: half the variance.
    const rng = random(seed);
    fillNormal(V, Math.sqrt(2 / inputs), rng);
    for (const layer of layers) fillNormal(layer.w, Math.sqrt(2 / width), rng);
    fillNormal(A, Math.sqrt(1 / width), rng);

    const h0 = make(batch * width), d = make(batch * width), df = make(batch * width);
    const du = make(batch * width), last = make(batch * width), lastInverse = make(batch);
    const room = Array.from({length: 3}, () => make(Math.max(batch, width) * Math.max(inputs, width)));
    const logits = make(batch * classes), p = make(batch * classes);
    const fixed = shortcut === "sqrt" ? 1 / Math.sqrt(depth) : 1;
    let x, z, n, steps = 0;

    function forward(images, count) { // (count, inputs) to logits (count, classes)
      x = images;
      n = count;
      product(x, V, c, h0, n, inputs, width);
      relu(h0, n * width);
      let h = h0;
      for (const layer of layers) {
        if (norm) layerNorm(h, layer.u, layer.inverse, n, width);
        product(norm ? layer.u : h, layer.w, layer.b, layer.f, n, width, width);
        relu(layer.f, n * width);
        if (shortcut !== "none") {
          const scale = layer.s ? layer.s[0] : fixed;
          for (let i = 0; i < n * width; i++) layer.h[i] = h[i] + scale * layer.f[i];
        }
        h = layer.h;
      }
      if (norm) layerNorm(h, last, lastInverse, n, width);
      z = norm ? last : h;
      product(z, A, a, logits, n, width, classes);
      return logits;
    }

    function probabilities() { // softmax of what forward gave
      for (let r = 0; r < n; r++) {
        const at = r * classes;
        let top = -Infinity, sum = 0;
        for (let k = 0; k < classes; k++) top = Math.max(top, logits[at + k]);
        for (let k = 0; k < classes; k++) sum += p[at + k] = Math.exp(logits[at + k] - top);
        for (let k = 0; k < classes; k++) p[at + k] /= sum;
      }
      return p;
    }

    function loss(labels) { // mean cross-entropy in nats, without overflow
      let total = 0;
      for (let r = 0; r < n; r++) {
        const at = r * classes;
        let top = -Infinity, sum = 0;
        for (let k = 0; k < classes; k++) top = Math.max(top, logits[at + k]);
        for (let k = 0; k < classes; k++) sum += Math.exp(logits[at + k] - top);
        total += top + Math.log(sum) - logits[at + labels[r]];
      }
      return total / n;
    }

    function backward(labels) { // fills grad with the gradient of loss
      probabilities();
      for (let r = 0; r < n; r++) p[r * classes + labels[r]] -= 1;
      for (let i = 0; i < n * classes; i++) p[i] /= n;
      denseBackward(p, z, A, dA, da, d, n, width, classes, room);
      if (norm) layerNormBackward(d, last, lastInverse, n, width);
      for (let l = depth - 1; l >= 0; l--) {
        const {w, dw, b, db, s, ds, f, u, inverse} = layers[l];
        const scale = s ? s[0] : fixed;
        let along = 0;
        for (let i = 0; i < n * width; i++) {
          along += d[i] * f[i];
          df[i] = f[i] > 0 ? scale * d[i] : 0;
        }
        if (s) ds[0] = along;
        const from = norm ? u : l ? layers[l - 1].h : h0;
        denseBackward(df, from, w, dw, db, du, n, width, width, room);
        if (norm) layerNormBackward(du, u, inverse, n, width);
        if (shortcut === "none") d.set(du);
        else for (let i = 0; i < n * width; i++) d[i] += du[i];
      }
      for (let i = 0; i < n * width; i++) if (!(h0[i] > 0)) d[i] = 0;
      denseBackward(d, x, V, dV, dc, null, n, inputs, width, room);
    }

    function step(rate) { // Adam (Kingma and Ba 2015, algorithm 1)
      steps++;
      const one = 1 - 0.9 ** steps, two = 1 - 0.999 ** steps;
      for (let i = 0; i < size; i++) {
        const g = grad[i];
        first[i] = 0.9 * first[i] + 0.1 * g;
        second[i] = 0.999 * second[i] + 0.001 * g * g;
        theta[i] -= (rate * (first[i] / one)) / (Math.sqrt(second[i] / two) + 1e-8);
      }
    }

    function gradientNorms() { // of each layer's weights
      return layers.map(({dw}) => Math.sqrt(dw.reduce((sum, g) => sum + g * g, 0)));
    }

    return {layout, theta, grad, forward, probabilities, loss, backward, step, gradientNorms};
  }

  // Batches of `size` rows without repetition; what is left of a pass is dropped, then shuffled anew.
  function batches(rows, size, seed) {
    const order = Uint16Array.from({length: rows}, (_, i) => i), rng = random(seed);
    let at = rows;
    return () => {
      if (at + size > rows) {
        for (let i = rows - 1; i > 0; i--) {
          const j = Math.floor(rng() * (i + 1)), swapped = order[i];
          order[i] = order[j];
          order[j] = swapped;
        }
        at = 0;
      }
      at += size;
      return order.subarray(at - size, at);
    };
  }

  /* Two networks that differ in the shortcut alone: same weights in the branches, same batches.
     data: images (rows, 64) from 0 to 16, labels, and how many rows train; the others test. */
  function race({depth, width, shortcut, norm, seed, rate = 3e-3, batch = 64}, data) {
    const x = Float64Array.from(data.images, (v) => v / 16), rows = data.labels.length;
    const options = {depth, width, norm, seed, batch};
    const arms = [network({...options, shortcut: "none"}), network({...options, shortcut})];
    const next = batches(data.train, batch, seed + 1e6);
    const images = new Float64Array(batch * 64), labels = new Uint8Array(batch);

    function step() { // the loss of both before the step
      next().forEach((row, i) => {
        images.set(x.subarray(row * 64, row * 64 + 64), i * 64);
        labels[i] = data.labels[row];
      });
      return arms.map((arm) => {
        arm.forward(images, batch);
        const loss = arm.loss(labels);
        arm.backward(labels);
        arm.step(rate);
        return loss;
      });
    }

    function accuracy() { // of both, over all rows that do not train
      return arms.map((arm) => {
        let right = 0;
        for (let row = data.train; row < rows; row += batch) {
          const n = Math.min(batch, rows - row);
          const logits = arm.forward(x.subarray(row * 64, (row + n) * 64), n);
          for (let r = 0; r < n; r++) {
            const said = logits.subarray(r * 10, r * 10 + 10);
            if (said.every((v) => v <= said[data.labels[row + r]])) right++;
          }
        }
        return right / (rows - data.train);
      });
    }

    function says(pixels) { // probabilities of both for images (n, 64) from 0 to 16
      const scaled = Float64Array.from(pixels, (v) => v / 16), n = pixels.length / 64;
      return arms.map((arm) => {
        arm.forward(scaled, n);
        return Array.from(arm.probabilities().subarray(0, n * 10));
      });
    }

    return {step, accuracy, says, gradientNorms: () => arms.map((arm) => arm.gradientNorms())};
  }

  return {random, network, batches, race};
};
window.raceEngine = window.makeRaceEngine();
